"""The space of a sweep: keys of a recipe, and the values that trials may give them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_mtl._names import listed, nearest
from hf_mtl.recipe import Recipe, RecipeError, read_yaml
from hf_mtl.trainer import MultiTaskTrainingArguments

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Space"]

_RANGE_KEYS = ("low", "high", "log", "step", "int")
#: A string or a list alone stands for these keys: ``sampling: [uniform, proportional]``.
_SHORT = {"sampling": "sampling.strategy", "balancing": "balancing.method"}
_NOT_SEARCHED = {
    "training.output_dir": "Every trial has a folder in the sweep's.",
    "training.seed": "It decides which rows are held out, and trials are compared on the same rows.",
    "training.push_to_hub": "Trials are not kept. Push the model that best.yaml trains.",
    "training.metric_for_best_model": "It is what trials are judged by.",
    "training.greater_is_better": "It is how trials are judged.",
}
#: The most combinations of values that are checked before anything is trained.
_MOST_CHECKED = 64


@dataclass(frozen=True)
class Space:
    """What trials choose from.

    Args:
        choices: Key of the recipe -> values, each as JSON.
        ranges: Key of the recipe -> ``low``, ``high``, ``log``, ``step`` and ``int``.
    """

    choices: dict[str, tuple[str, ...]]
    ranges: dict[str, dict[str, Any]]

    @classmethod
    def load(cls, path: Path) -> Space:
        """Read a space from a YAML file.

        Raises:
            RecipeError: At the first mistake, with the file and the key.
        """
        choices: dict[str, tuple[str, ...]] = {}
        ranges: dict[str, dict[str, Any]] = {}
        try:
            values = read_yaml(path, "a space is a mapping from keys of the recipe to lists or ranges")
            if not values:
                raise RecipeError("", "the space is empty. Name a key, such as learning_rate: [1.0e-5, 1.0e-4].")
            for given, value in values.items():
                key = _full_key(given, value)
                if key in choices or key in ranges:
                    raise RecipeError(given, f"the space names {key} twice. Keep one of them.")
                if isinstance(value, list):
                    choices[key] = _choices(given, value)
                else:
                    ranges[key] = _range(given, value)
        except RecipeError as error:
            error.source = str(path)
            raise
        return cls(choices, ranges)

    @property
    def keys(self) -> list[str]:
        """The keys that trials change, those of a mapping before those inside of it."""
        return sorted([*self.choices, *self.ranges], key=lambda key: key.count("."))

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space as optuna's distributions."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, BaseDistribution] = {}
        for key in self.keys:
            if key in self.choices:
                found[key] = CategoricalDistribution(self.choices[key])
                continue
            limits = dict(self.ranges[key])
            if limits.pop("int"):
                found[key] = IntDistribution(**{**limits, "step": limits["step"] or 1})
            else:
                found[key] = FloatDistribution(**limits)
        return found

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """Return a trial's values as overrides of the recipe: ``training.learning_rate=0.001``."""
        return [f"{key}={values[key] if key in self.choices else json.dumps(values[key])}" for key in self.keys]

    def combinations(self) -> list[dict[str, str]] | None:
        """Return all combinations; ``None`` where a range has no end of them."""
        if self.ranges or math.prod(map(len, self.choices.values())) > 10_000:
            return None
        return list(_products(self.choices))

    def check(self, recipe: Path, overrides: list[str], source: Path) -> list[Recipe]:
        """Return the recipe with values of the space, after checking that it takes them.

        Every choice and both ends of every range are checked, with one another.

        Args:
            recipe: The recipe.
            overrides: The overrides of the command line.
            source: The space's file.

        Raises:
            RecipeError: If it does not, naming the values.
        """
        ends: dict[str, tuple[Any, ...]] = {
            **self.choices,
            **{key: (limits["low"], limits["high"]) for key, limits in self.ranges.items()},
        }
        recipes = []
        for values in _samples(ends):
            changes = self.overrides(values)
            try:
                found = Recipe.load(recipe, [*overrides, *changes])
                found.training_arguments()
                recipes.append(found)
            except RecipeError as error:
                if error.source in {f"override {given!r}" for given in overrides}:
                    raise
                shown = f" (with {', '.join(changes)})" if len(changes) > 1 else ""
                raise RecipeError(error.where, f"{error.message}{shown}", str(source)) from error
        return recipes


def _products(values: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Yield all combinations."""
    return (dict(zip(values, found, strict=True)) for found in itertools.product(*values.values()))


def _samples(values: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Yield combinations: all, or where there are too many to check each value at least once and some at random."""
    if math.prod(map(len, values.values())) <= _MOST_CHECKED:
        yield from _products(values)
        return
    for number in range(max(map(len, values.values()))):
        yield {key: found[number % len(found)] for key, found in values.items()}
    draw = random.Random(0)
    for _ in range(_MOST_CHECKED):
        yield {key: draw.choice(found) for key, found in values.items()}


def _full_key(given: str, value: Any) -> str:
    """Return the dotted key of the recipe that a name of the space stands for."""
    arguments = [field.name for field in dataclasses.fields(MultiTaskTrainingArguments) if field.init]
    keys = [key for key in Recipe.model_fields if key != "datasets"]
    first, dot, _ = given.partition(".")
    if given in _SHORT and isinstance(value, list):
        key = given if any(isinstance(item, dict) for item in value) else _SHORT[given]
    elif given in arguments and given not in keys:
        key = f"training.{given}"
    else:
        key = given
    if first == "datasets":
        raise RecipeError(given, "trials are compared on the same rows, so the datasets stay. Leave it out.")
    if key.partition(".")[0] not in keys:
        raise RecipeError(
            given,
            f"no key of a recipe and no training argument.{nearest(given, [*keys, *arguments])} Keys: {listed(keys)}.",
        )
    if key.startswith("training.") and dot and key.partition(".")[2] not in arguments:
        raise RecipeError(given, f"no training argument.{nearest(key.partition('.')[2], arguments)}")
    if key in _NOT_SEARCHED:
        raise RecipeError(given, f"{_NOT_SEARCHED[key]} Leave it out.")
    return key


def _choices(given: str, values: list[Any]) -> tuple[str, ...]:
    if not values:
        raise RecipeError(given, "an empty list. Give the values to choose from.")
    if any(isinstance(value, dict) for value in values) and given in _SHORT:
        name = _SHORT[given].partition(".")[2]
        values = [value if isinstance(value, dict) else {name: value} for value in values]
    try:
        texts = tuple(json.dumps(value, ensure_ascii=False, allow_nan=False) for value in values)
    except ValueError as error:
        raise RecipeError(given, "a value is infinite or not a number. Leave it out.") from error
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise RecipeError(given, f"the value {twice} occurs twice. Keep one of them.")
    return texts


def _range(given: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(
            given,
            f"expected a list of values or a range such as {{low: 1.0e-5, high: 1.0e-3, log: true}}, found {value!r}.",
        )
    for key in value:
        if key not in _RANGE_KEYS:
            raise RecipeError(
                f"{given}.{key}", f"no key of a range.{nearest(str(key), _RANGE_KEYS)} Keys: {listed(_RANGE_KEYS)}."
            )
    for key in ("low", "high", *(["step"] if value.get("step") is not None else [])):
        found = value.get(key)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise RecipeError(f"{given}.{key}", f"expected a number, found {found!r}.")
    for key in ("log", "int"):
        if not isinstance(value.get(key, False), bool):
            raise RecipeError(f"{given}.{key}", f"expected true or false, found {value[key]!r}.")
    low, high, step, log = value["low"], value["high"], value.get("step"), value.get("log", False)
    are_whole = all(float(number).is_integer() for number in (low, high, step or 1))
    is_int = value.get("int", all(isinstance(number, int) for number in (low, high, step or 1)))
    if low >= high:
        raise RecipeError(given, f"low is {low!r} and high is {high!r}. Give a low below high.")
    if is_int and not are_whole:
        raise RecipeError(given, "int: true needs whole numbers as low, high and step.")
    if log and low <= 0:
        raise RecipeError(f"{given}.low", f"a logarithmic range (log: true) begins above 0, found {low!r}.")
    if step is not None and (log or not 0 < step <= high - low):
        reason = "log: true takes no step" if log else f"must be above 0 and at most {high - low}, found {step!r}"
        raise RecipeError(f"{given}.step", f"{reason}.")
    kind = int if is_int else float
    return {
        "low": kind(low),
        "high": kind(high),
        "log": log,
        "step": None if step is None else kind(step),
        "int": is_int,
    }
