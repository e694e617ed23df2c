"""A recipe that trains a trained model further: its tasks are those that the model knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import AutoConfig

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import MultiTaskConfig, TaskConfig
from hf_mtl.recipe._mistakes import RecipeError, blamed_on

__all__ = ["fields_of_model", "model_config", "narrowed_options"]

#: Fields of a task that say how it is trained, scored and read, which a recipe may choose again.
_CHOSEN_AGAIN = (
    *("weight", "label_smoothing", "class_weights", "pos_weight", "dropout", "layer_dropout"),
    *("metrics", "main_metric", "label_values"),
)


def model_config(path: str) -> MultiTaskConfig:
    """Return the config of the model that a recipe begins with.

    Raises:
        RecipeError: If there is none, or it is a model of another kind.
    """
    with blamed_on("model", OSError, ValueError, KeyError):
        config = AutoConfig.from_pretrained(path)
    if not isinstance(config, MultiTaskConfig):
        raise RecipeError(
            "model", f"{path!r} is a plain {config.model_type!r} model, not a multi-task one. Name it as the encoder."
        )
    return config


def fields_of_model(
    config: MultiTaskConfig,
    names: Sequence[str],
    given: Mapping[str, Mapping[str, Any]],
    branches: Mapping[str, int],
) -> dict[str, dict[str, Any]]:
    """Return the fields of tasks as a trained model has them, and what a recipe chooses again.

    Args:
        config: The model's config.
        names: The tasks that the recipe's datasets label.
        given: The recipe's fields by task.
        branches: The recipe's branches.

    Raises:
        RecipeError: If the model lacks a task, or its task is another one than the recipe's.
    """
    if branches and dict(branches) != dict(config.branches or {}):
        raise RecipeError(
            "branches", f"the model has {dict(config.branches or {}) or 'none'}, found {dict(branches)}. Leave it out."
        )
    known = {task.name: task for task in config.tasks}
    fields: dict[str, dict[str, Any]] = {}
    for name in names:
        if name not in known:
            raise RecipeError(
                f"tasks.{name}",
                f"the model has no such task.{nearest(name, known)} Its tasks: {listed(known)}. Add one with "
                "hf-mtl heads MODEL add, or leave its column out.",
            )
        task, own = known[name], given.get(name, {})
        with blamed_on(f"tasks.{name}"):
            # Values of the column may be named beside labels: as the task itself reads both.
            wanted = TaskConfig(name, **{"type": task.type, **own})
        for field in own:
            if field not in _CHOSEN_AGAIN and getattr(wanted, field) != getattr(task, field):
                has, found = (_shown(getattr(each, field)) for each in (task, wanted))
                raise RecipeError(f"tasks.{name}.{field}", f"the model has {has}, found {found}. Leave it out.")
        chosen = {field: getattr(wanted, field) for field in own if field in _CHOSEN_AGAIN}
        if wanted.label_values:
            chosen["label_values"] = wanted.label_values
        fields[name] = {key: value for key, value in {**task.to_dict(), **chosen}.items() if key != "name"}
    return fields


def _shown(value: Any) -> str:
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def narrowed_options(options: Any, gone: Sequence[str]) -> Any:
    """Return options without the entries of datasets that are not trained.

    Args:
        options: A mapping, a list or a value, nested as they come.
        gone: The names of the datasets.

    >>> narrowed_options({"shares": {"a": 1, "b": 2}, "datasets": ["a"]}, ["a"])
    {'shares': {'b': 2}, 'datasets': []}
    """
    if isinstance(options, Mapping):
        return {key: narrowed_options(value, gone) for key, value in options.items() if key not in gone}
    if isinstance(options, (list, tuple)):
        return [narrowed_options(value, gone) for value in options if not isinstance(value, str) or value not in gone]
    return options
