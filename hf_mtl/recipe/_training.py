"""The ``training`` part of a recipe: any field of `MultiTaskTrainingArguments`, checked by name and by type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from types import NoneType
from typing import TYPE_CHECKING, Any

from hf_mtl._names import listed, nearest
from hf_mtl.arguments import MultiTaskFields, described_kinds, kinds_of_arguments, kinds_of_fields
from hf_mtl.recipe._mistakes import RecipeError, blamed_on

if TYPE_CHECKING:
    from hf_mtl.trainer import MultiTaskTrainingArguments

__all__ = ["changed_arguments", "check_training", "make_arguments"]

#: Of a run that does not say how often it logs: 20 lines, whatever its length.
LOGGING_STEPS = 0.05

#: Fields whose range Transformers does not check, and the least value that means something.
_LEAST = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 0,
    "weight_decay": 0,
    "dataloader_num_workers": 0,
    "seed": 0,
}


#: Fields that Transformers' example scripts read, and no trainer does.
_OF_SCRIPTS = {
    "do_train": "`hf-mtl train` trains.",
    "do_eval": "`hf-mtl evaluate` evaluates, and eval_strategy says when a training does.",
    "do_predict": "`hf-mtl predict` answers.",
    "resume_from_checkpoint": "`hf-mtl train --resume` continues from the last checkpoint.",
}


def check_training(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with numbers as numbers.

    Raises:
        RecipeError: If a field is unknown or its value has the wrong type.

    >>> check_training({"learning_rate": "1e-4", "seed": 3})
    {'learning_rate': 0.0001, 'seed': 3}
    """
    kinds = kinds_of_arguments()
    for name in values:
        if name not in kinds:
            raise RecipeError(
                f"training.{name}",
                f"no such field.{nearest(name, kinds)} Any field of transformers.TrainingArguments, and "
                f"{listed(kinds_of_fields(MultiTaskFields))}.",
            )
        if name in _OF_SCRIPTS:
            raise RecipeError(f"training.{name}", f"{_OF_SCRIPTS[name]} Leave it out.")
    checked = {name: _checked(name, value, kinds[name]) for name, value in values.items()}
    for name, least in _LEAST.items():
        if checked.get(name) is not None and not least <= checked[name] < math.inf:
            raise RecipeError(f"training.{name}", f"must be at least {least}, found {checked[name]!r}.")
    if checked.get("num_train_epochs", 1) <= 0 and checked.get("max_steps", 0) <= 0:
        raise RecipeError("training.num_train_epochs", f"must be above 0, found {checked['num_train_epochs']!r}.")
    return checked


def _checked(name: str, value: Any, kinds: tuple[Any, ...]) -> Any:
    enums = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)]
    if enums and isinstance(value, str):
        choices = [str(member.value) for kind in enums for member in kind]
        # A list of options in one string is Transformers' own way for `debug` and `optim`.
        if value not in choices and list not in kinds:
            raise RecipeError(f"training.{name}", f"{value!r} is none of {listed(choices)}.{nearest(value, choices)}")
        return value
    if value is None and NoneType in kinds:
        return value
    if isinstance(value, bool):
        if bool in kinds or value in kinds:
            return value
    elif isinstance(value, tuple(kind for kind in kinds if kind in (int, float, str, list, dict))):
        return value
    elif float in kinds and isinstance(value, int):
        return float(value)
    elif isinstance(value, (str, float)) and (float in kinds or int in kinds):
        # "1e-4" in quotes, or 3.0 for a count.
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if float in kinds and number == number:
            return number
        if number.is_integer():
            return int(number)
    raise RecipeError(f"training.{name}", f"expected {described_kinds(kinds)}, found {value!r}.")


def changed_arguments(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with some in place of others, without those that nothing reads because of that.

    >>> changed_arguments({"save_total_limit": 2, "seed": 3}, {"save_strategy": "no"})
    {'seed': 3, 'save_strategy': 'no'}
    """
    if not changes:
        return dict(values)
    from hf_mtl.trainer import MultiTaskTrainingArguments, idle_arguments

    changed = {**values, **changes}
    idle = set(idle_arguments(MultiTaskTrainingArguments, changed))
    idle -= {*changes, *idle_arguments(MultiTaskTrainingArguments, values)}
    return {name: value for name, value in changed.items() if name not in idle}


def make_arguments(values: Mapping[str, Any], output_dir: str) -> MultiTaskTrainingArguments:
    """Build the arguments.

    Args:
        values: The recipe's ``training``, ``sampling`` and ``balancing``, checked.
        output_dir: The run folder, where ``training`` names none.

    Raises:
        RecipeError: If Transformers takes a value, or several together, for wrong.
    """
    from hf_mtl.trainer import MultiTaskTrainingArguments

    defaults: dict[str, Any] = {"output_dir": output_dir}
    if "logging_strategy" not in values:
        defaults["logging_steps"] = LOGGING_STEPS
    with blamed_on("training", ValueError, TypeError, KeyError, ImportError):
        return MultiTaskTrainingArguments(**{**defaults, **values})
