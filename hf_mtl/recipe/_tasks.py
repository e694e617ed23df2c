"""What the columns say of the tasks: their types and their labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from datasets import ClassLabel, Dataset, Value

from hf_mtl._names import listed
from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig, check_ties
from hf_mtl.data import class_label
from hf_mtl.heads import HEADS, head_class
from hf_mtl.recipe._metric_names import metric_names
from hf_mtl.recipe._mistakes import RecipeError, blamed_on

__all__ = ["infer_task", "infer_type", "with_shared_labels"]

logger = logging.getLogger(__name__)

#: Types whose answers are not among labels.
_TEXTS = ("string", "large_string", "string_view")


def infer_type(name: str, given: Mapping[str, Any], data: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return a task's ``type``, and its ``problem_type`` where it has one.

    Args:
        name: Name of the task.
        given: What the recipe says of it.
        data: The training rows of the datasets that label it, by name.

    Raises:
        RecipeError: If a column tells no type, or two tell different ones.
    """
    found: dict[str, tuple[str, bool]] = {}
    for dataset, rows in data.items():
        found[dataset] = _observed(name, given, dataset, rows)
    kinds = list(dict.fromkeys(found.values()))
    if len(kinds) > 1:
        said = ", ".join(f"{dataset!r} tells {kind}" for dataset, (kind, _) in found.items())
        raise RecipeError(f"tasks.{name}.type", f"the datasets tell different types ({said}). Give the type.")
    kind, is_multi = kinds[0]
    result = {"type": kind}
    problem_type = given.get("problem_type", "multi_label_classification" if is_multi else None)
    if problem_type is not None:
        result["problem_type"] = problem_type
    return result


def _observed(name: str, given: Mapping[str, Any], dataset: str, rows: Dataset) -> tuple[str, bool]:
    """Return the type that a column tells, and whether its rows may have several labels."""
    feature = rows.features[name]
    inner = getattr(feature, "feature", None)
    if given.get("type") is not None:
        return given["type"], given["type"] == "sequence-classification" and inner is not None
    if _is_squad(feature):
        return "question-answering", False
    if _chooses(name, rows):
        return "multiple-choice", False
    if inner is not None and _is_label(inner, given):
        return ("token-classification", False) if "tokens" in rows.column_names else ("sequence-classification", True)
    if inner is None and _is_label(feature, given):
        return "sequence-classification", False
    if _is_amounts(feature):
        return "regression", False
    integers = inner if inner is not None else feature
    if isinstance(integers, Value) and integers.dtype.startswith(("int", "uint")):
        raise RecipeError(
            f"tasks.{name}",
            f"dataset {dataset!r} labels it with integers without names. Give the labels as texts, labels: ['0', '1', "
            "...], or type: regression if they are amounts.",
        )
    raise RecipeError(
        f"tasks.{name}",
        f"the column of dataset {dataset!r} tells no type: {feature}. Expected texts, ClassLabel, numbers, lists of "
        "labels, or answers as in SQuAD; or give type and labels.",
    )


def _is_squad(feature: Any) -> bool:
    """Return whether a column holds answers with their starts: a struct of lists, or a list of structs."""
    fields = getattr(feature, "feature", feature)
    return isinstance(fields, Mapping) and {"text", "answer_start"} <= fields.keys()


def _chooses(name: str, rows: Dataset) -> bool:
    """Return whether a column can only be the choice: there are choices, and nothing else that could choose."""
    if "choices" not in rows.column_names:
        return False
    feature = rows.features[name]
    if isinstance(feature, Value) and feature.dtype.startswith(("int", "uint")):
        return True
    others = [column for column in rows.column_names if column not in (*INPUT_COLUMNS, name)]
    return not others and (isinstance(feature, ClassLabel) or getattr(feature, "dtype", None) in _TEXTS)


def _is_label(feature: Any, given: Mapping[str, Any]) -> bool:
    if isinstance(feature, ClassLabel):
        return True
    if not isinstance(feature, Value):
        return False
    return feature.dtype in (*_TEXTS, "bool") or bool(given.get("labels"))


def _is_amounts(feature: Any) -> bool:
    """Return whether a column holds amounts: one, a list, or some by name."""
    if isinstance(feature, Mapping):
        return all(
            isinstance(f, Value) and f.dtype.startswith(("float", "decimal", "int", "uint")) for f in feature.values()
        )
    inner = getattr(feature, "feature", feature)
    return isinstance(inner, Value) and inner.dtype.startswith(("float", "decimal"))


def infer_task(
    name: str, given: Mapping[str, Any], kind: Mapping[str, Any], splits: Mapping[str, Mapping[str, Dataset]]
) -> TaskConfig:
    """Return a task with its labels.

    Args:
        name: Name of the task.
        given: What the recipe says of it; it goes before what the data tell.
        kind: What `infer_type` returned.
        splits: The datasets that label it: by name, rows by use.

    Raises:
        RecipeError: If labels are needed and the data do not tell them.
    """
    where = f"tasks.{name}"
    labels = given.get("labels")
    if labels is None and kind["type"] == "sentiment":
        labels = _ordered(where, [rows["train"].features[name] for rows in splits.values()], name, splits)
    elif labels is None and kind["type"] == "regression":
        labels = _targets(name, splits)
    elif labels is None and HEADS[kind["type"]].takes_labels:
        labels = _union(where, name, splits)
    with blamed_on(where):
        task = TaskConfig(name, **{**kind, **given, "labels": labels})
        head_class(task)
    metric_names(task)
    return task


def _targets(name: str, splits: Mapping[str, Mapping[str, Dataset]]) -> list[str] | None:
    """Return the names of a row's numbers: those of the column, or made-up ones for a list; none for one number."""
    columns = {dataset: rows["train"].features[name] for dataset, rows in splits.items()}
    for feature in columns.values():
        if isinstance(feature, Mapping):
            return list(feature)
    for dataset, feature in columns.items():
        if hasattr(feature, "feature"):
            rows = splits[dataset]["train"].with_format(None)[name]
            return [f"target_{i}" for i in range(len(next((row for row in rows if row is not None), ())))]
    return None


def with_shared_labels(tasks: Sequence[TaskConfig], given: Mapping[str, Mapping[str, Any]]) -> list[TaskConfig]:
    """Return the tasks, those that share a head with the labels of all of them where the data told them.

    Args:
        tasks: The tasks.
        given: What the recipe says of them, by name.

    Raises:
        RecipeError: If ``tied_to`` names no task that fits.
    """
    result = list(tasks)
    for owner in tasks:
        names = [task.name for task in tasks if owner.name in (task.name, task.tied_to)]
        sharers = [task for task in tasks if task.name in names]
        # The order of a scale is no union's to tell.
        if len(names) > 1 and owner.type != "sentiment" and not any(given.get(n, {}).get("labels") for n in names):
            labels = list(dict.fromkeys(label for task in sharers for label in task.labels or ()))
            result = [replace(t, labels=labels) if t.name in names and t.labels else t for t in result]
    with blamed_on("tasks"):
        check_ties(result)
    return result


def _ordered(
    where: str, features: Sequence[Any], name: str, splits: Mapping[str, Mapping[str, Dataset]]
) -> Sequence[str]:
    """Return the labels of a scale, which only ClassLabels of one order tell."""
    orders = {tuple(names.names) for names in map(class_label, features) if names is not None}
    if len(orders) == 1 and all(isinstance(feature, ClassLabel) for feature in features):
        return orders.pop()
    found = sorted({label for rows in splits.values() for label in _distinct(rows["train"], name) if label is not None})
    raise RecipeError(
        f"{where}.labels",
        "sentiment needs its labels in order, from most negative to most positive, and the data do not tell it. "
        f"Found {listed(found)}.",
    )


def _union(where: str, name: str, splits: Mapping[str, Mapping[str, Dataset]]) -> list[str]:
    """Return all labels, in order of first appearance."""
    labels: dict[str, None] = {}
    for dataset, rows in splits.items():
        names = class_label(rows["train"].features[name])
        if names is not None:
            labels.update(dict.fromkeys(names.names))
            continue
        found = [value for value in _distinct(rows["train"], name) if value is not None]
        if not all(isinstance(value, (str, bool)) for value in found):
            raise RecipeError(
                f"{where}.labels", f"dataset {dataset!r} labels it with numbers. List the labels, as texts."
            )
        labels.update(dict.fromkeys(sorted(map(str, found))))
    for dataset, rows in splits.items():
        for use, data in rows.items():
            if use == "train" or name not in data.column_names or class_label(data.features[name]) is not None:
                continue
            known = {str(value) for value in _distinct(data, name) if value is not None}
            if late := sorted(known - set(labels)):
                logger.warning(
                    "Task %r: the %s rows of dataset %r have labels that no training row has: %s.",
                    *(name, use, dataset, listed(late)),
                )
                labels.update(dict.fromkeys(late))
    return list(labels)


def _distinct(data: Dataset, name: str) -> Iterable[Any]:
    """Return the values of a column, or of its lists, each once."""
    found: set[Any] = set()
    for batch in data.select_columns([name]).with_format("arrow").iter(batch_size=10_000):
        column = batch[name].combine_chunks()
        if hasattr(data.features[name], "feature"):
            column = column.flatten()
        found.update(column.unique().to_pylist())
    return found
