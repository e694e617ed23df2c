"""What can be checked of a recipe's values without data or encoder."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from pydantic import model_validator

from hf_mtl._names import listed, nearest
from hf_mtl.arguments import make_average
from hf_mtl.augmentation import make_augmentations
from hf_mtl.balancers import Balancer, make_balancer
from hf_mtl.configuration import INPUT_COLUMNS, MODALITIES, TASK_TYPES, TaskConfig, check_branches, check_task_names
from hf_mtl.recipe._augmentation import joined_augmentation
from hf_mtl.recipe._keys import BalancingKeys, DatasetKeys, SamplingKeys, TopKeys
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.recipe._picture_size import check_image_size
from hf_mtl.recipe._training import check_training
from hf_mtl.samplers import DatasetSampler, make_sampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.training_methods import make_methods
from hf_mtl_light.errors import UserError

__all__ = ["Balancing", "DatasetRecipe", "RecipeKeys", "Sampling"]

#: The most columns of a dataset that a recipe maps: an input's few, and those of the most tasks a model may have.
_MOST_COLUMNS = 1100
_TASK_FIELDS = [field.name for field in dataclasses.fields(TaskConfig) if field.name != "name"]


class Sampling(SamplingKeys):
    """How often each dataset is drawn, checked."""

    @model_validator(mode="after")
    def _check_options(self) -> Sampling:
        _ = self.made
        return self

    @cached_property
    def made(self) -> tuple[DatasetSampler, SamplingRules]:
        """The sampler and the rules around it."""
        return make_sampler(self.strategy, self.options)

    def check(self, datasets: Iterable[str]) -> None:
        """Check the names of datasets in options.

        Raises:
            RecipeError: If one is unknown, or missing.
        """
        sampler, rules = self.made
        with blamed_on("sampling"):
            names = dict.fromkeys(datasets, 1)
            rules.check(names)
            sampler.check(names)


class Balancing(BalancingKeys):
    """How the tasks' losses become one, checked."""

    @model_validator(mode="after")
    def _check_options(self) -> Balancing:
        _ = self.made
        return self

    @cached_property
    def made(self) -> Balancer:
        """The balancer."""
        try:
            return make_balancer(self.method, self.options)
        except ImportError as error:
            raise UserError(str(error)) from error


class DatasetRecipe(DatasetKeys):
    """One source of rows, with what can be checked without them."""

    def tasks(self) -> list[str]:
        """Return the names of the tasks that it labels, in the order of its columns and constants."""
        return [name for name in (*self.columns.values(), *self.constants) if name not in INPUT_COLUMNS]

    @property
    def is_stream(self) -> bool:
        """Whether its training rows are read as they come: ``load: {streaming: true}``."""
        return bool(self.load.get("streaming"))

    def held_out(self, use: str) -> float:
        """Return how much of the training rows is held out where there is no such split; of a stream in rows."""
        if self.is_stream and f"{use}_size" not in self.model_fields_set:
            return 0
        return float(getattr(self, f"{use}_size") or 0)

    def check(self, where: str, types: Mapping[str, Any]) -> None:
        """Check what can be checked without the data.

        Args:
            where: Where it is in the recipe.
            types: The type of each task of the recipe that has one.

        Raises:
            RecipeError: If ``load`` or ``columns`` cannot be right.
        """
        if not isinstance(self.load.get("path"), str):
            raise RecipeError(
                f"{where}.load",
                "path is missing. Name a dataset of the Hub, a folder, or a format such as 'parquet' or 'json' with "
                "data_files.",
            )
        if not isinstance(self.load.get("streaming", False), bool):
            raise RecipeError(f"{where}.load.streaming", f"expected true or false, found {self.load['streaming']!r}.")
        if "split" in self.load and (self.train or self.validation or self.test):
            raise RecipeError(
                f"{where}.load.split", "split is given besides train, validation or test. Leave one of them out."
            )
        for key, size in (("validation_size", self.validation_size), ("test_size", self.test_size)):
            if size is not None and size >= 1 and not size.is_integer():
                raise RecipeError(
                    f"{where}.{key}", f"expected a fraction below 1 or a whole number of rows, found {size}."
                )
            if self.is_stream and key in self.model_fields_set and size is not None and 0 < size < 1:
                raise RecipeError(
                    f"{where}.{key}",
                    f"{size} is a fraction, and the rows of a stream are not counted. Give a number of rows: the first "
                    "ones are held out.",
                )
        for name in self.constants:
            if name in INPUT_COLUMNS or name in self.columns.values():
                what = "an input" if name in INPUT_COLUMNS else "a task with a column"
                raise RecipeError(f"{where}.constants.{name}", f"{name!r} is {what}. Name a task without a column.")
        self._check_columns(f"{where}.columns", types)

    def _check_columns(self, where: str, types: Mapping[str, Any]) -> None:
        names = list(self.columns.values())
        if len(names) > _MOST_COLUMNS:
            raise RecipeError(where, f"{len(names):,} columns are mapped, and at most {_MOST_COLUMNS:,} can be.")
        counts = Counter(names)
        for source, name in self.columns.items():
            if counts[name] > 1:
                both = [column for column, target in self.columns.items() if target == name]
                raise RecipeError(where, f"{listed(both)} are all mapped to {name!r}. Map one of them.")
            if not name.strip():
                raise RecipeError(f"{where}.{source}", "expected an input or a task's name, found an empty one.")
        inputs = [name for name in names if name in INPUT_COLUMNS]
        if not {"text", "tokens", "image"} & set(inputs) and not _any_is_input(types.get(name) for name in names):
            close = next(
                (f" Did you mean {i!r} for {n!r}?" for n in names for i in INPUT_COLUMNS if nearest(n, [i])), ""
            )
            raise RecipeError(
                where,
                "no input. Map a column to 'text', two to 'text' and 'text_pair', or one to 'tokens' or 'image'."
                f"{close}",
            )
        if not self.tasks():
            raise RecipeError(where, "no task. Map the column of the labels to the name of a task.")
        with blamed_on(where):
            check_task_names(self.tasks())


class RecipeKeys(TopKeys):
    """The top of a recipe, with what can be checked without data or encoder."""

    # Values are frozen, so narrower types are safe.
    datasets: dict[str, DatasetRecipe]  # type: ignore[assignment]
    sampling: Sampling | None = None
    balancing: Balancing | None = None

    def check(self) -> dict[str, Any]:
        """Check what can be checked without data or encoder.

        Returns:
            ``training`` with numbers as numbers.

        Raises:
            RecipeError: At the first mistake.
        """
        if self.encoder is None and self.model is None and not self.encoders:
            raise RecipeError("encoder", "is missing.")
        if self.encoders and (self.encoder is not None or self.model is not None):
            other = "encoder" if self.encoder is not None else "model"
            raise RecipeError("encoders", f"is given besides {other}. Leave one of them out.")
        if wrong := [key for key in self.encoders if key not in MODALITIES]:
            raise RecipeError(f"encoders.{wrong[0]}", "encoders are named 'text' and 'image'.")
        named = {"encoder": self.encoder, "model": self.model}
        for key, name in (*named.items(), *((f"encoders.{key}", value) for key, value in self.encoders.items())):
            if name is not None and not name.strip():
                raise RecipeError(key, "expected a Hub id or a folder, found nothing.")
        check_image_size(self.image_size)
        if not self.datasets:
            raise RecipeError("datasets", "none given. Training needs at least one.")
        if self.model is not None and self.encoder_kwargs.bidirectional is not None:
            raise RecipeError("encoder_kwargs.bidirectional", "the model decides it. Leave it out.")
        with blamed_on("branches"):
            check_branches(self.branches, ())
        types = {name: fields.get("type") for name, fields in self.tasks.items()}
        for name, kind in types.items():
            if kind is not None and not isinstance(kind, str):
                raise RecipeError(
                    f"tasks.{name}.type", f"expected a text, found {kind!r}. Types: {listed(TASK_TYPES)}."
                )
        for name, dataset in self.datasets.items():
            dataset.check(f"datasets.{name}", types)
        known = list(dict.fromkeys(task for dataset in self.datasets.values() for task in dataset.tasks()))
        for name, fields in self.tasks.items():
            if name not in known:
                raise RecipeError(
                    f"tasks.{name}", f"no dataset maps a column to it.{nearest(name, known)} Tasks: {listed(known)}."
                )
            _check_fields(f"tasks.{name}", name, fields)
            branch = fields.get("branch")
            if branch is not None and branch not in self.branches and self.model is None:
                there = (
                    f"Branches: {listed(self.branches)}." if self.branches else "Add 'branches: {...}' to the recipe."
                )
                raise RecipeError(
                    f"tasks.{name}.branch", f"{branch!r} does not exist.{nearest(branch, self.branches)} {there}"
                )
        for name in self.only:
            if name not in known:
                raise RecipeError("only", f"no dataset labels {name!r}.{nearest(name, known)} Tasks: {listed(known)}.")
        for section, given, options in (
            ("sampling", self.sampling, "{strategy: ...}"),
            ("balancing", self.balancing, "{method: ...}"),
        ):
            for key in (section, f"{section}_options"):
                if given is not None and key in self.training:
                    raise RecipeError(f"training.{key}", f"{section} is given twice. Keep '{section}: {options}'.")
        make: Callable[[dict[str, Any]], Any]
        for section, asked, make, shown in (
            ("augmentation", self._joined_augmentation(), make_augmentations, "{...}"),
            ("methods", self.methods, make_methods, "{...}"),
            ("average", self.average, make_average, "{kind: ...}"),
        ):
            if asked and section in self.training:
                raise RecipeError(f"training.{section}", f"{section} is given twice. Keep '{section}: {shown}'.")
            with blamed_on(section):
                make(asked)
        if self.sampling is not None:
            self.sampling.check(self.datasets)
        checked = check_training(self.training)
        streams = [name for name, dataset in self.datasets.items() if dataset.is_stream]
        if streams and checked.get("max_steps", 0) <= 0:
            raise RecipeError(
                "training.max_steps",
                f"is missing. Dataset {streams[0]!r} is a stream, whose rows are not counted, so num_train_epochs says "
                "nothing. Set max_steps: N, the optimizer steps of the training.",
            )
        return {**checked, **self._chosen()}

    def _joined_augmentation(self) -> dict[str, Any]:
        """Return the augmentations of the top and of the datasets as one."""
        return joined_augmentation(self.augmentation, {name: data.augmentation for name, data in self.datasets.items()})

    def _chosen(self) -> dict[str, Any]:
        """Return what ``sampling`` and ``balancing`` say as fields of the training arguments."""
        fields: dict[str, Any] = {}
        if self.sampling is not None:
            fields |= {"sampling": self.sampling.strategy, "sampling_options": self.sampling.options}
        if self.balancing is not None:
            fields |= {"balancing": self.balancing.method, "balancing_options": self.balancing.options}
        if augmentation := self._joined_augmentation():
            fields |= {"augmentation": augmentation}
        if self.methods:
            fields |= {"methods": self.methods}
        if self.average:
            fields |= {"average": self.average}
        return fields


def _any_is_input(types: Iterable[Any]) -> bool:
    """Return whether the column of a task of one of these types is an input, too: masked tokens."""
    known = [kind for kind in types if kind in TASK_TYPES]
    if not known:
        return False
    from hf_mtl.heads import HEADS  # needs torch

    return any(HEADS[kind].column_is_input for kind in known)


def _check_fields(where: str, name: str, fields: Mapping[str, Any]) -> None:
    for field in fields:
        if field not in _TASK_FIELDS:
            raise RecipeError(
                where, f"unknown field {field!r}.{nearest(field, _TASK_FIELDS)} Fields: {listed(_TASK_FIELDS)}."
            )
    with blamed_on(where):
        TaskConfig(name, **{"type": "sequence-classification", **fields})
    if "type" in fields and fields["type"] not in TASK_TYPES:
        raise RecipeError(
            f"{where}.type",
            f"unknown type {fields['type']!r}.{nearest(fields['type'], TASK_TYPES)} Types: {listed(TASK_TYPES)}.",
        )
