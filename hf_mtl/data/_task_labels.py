"""The labels of a task, read off its columns."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from datasets import ClassLabel, Dataset

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig, check_ties, value_text
from hf_mtl.data._task_types import InferenceError
from hf_mtl.data._values import MOST_VALUES, count_values
from hf_mtl.data.labels import class_label, list_in, objects_in, objects_label, words_in
from hf_mtl.heads import HEADS, LABELS, is_soft

__all__ = ["Splits", "infer_labels", "with_shared_labels"]

logger = logging.getLogger(__name__)

#: The datasets that label a task: by name, rows by use.
Splits = Mapping[str, Mapping[str, Dataset]]

#: From so many labelled items on, a column with more labels than half of them is taken for ids or texts.
_ENOUGH = 20
#: Fewer items a label on average than this are worth a word.
_RARE = 5
#: Characters of a label.
_LONGEST = 200


def infer_labels(name: str, given: Mapping[str, Any], kind: Mapping[str, Any], splits: Splits) -> dict[str, Any]:
    """Return the fields of a task, with its labels.

    Args:
        name: Name of the task.
        given: The fields that are given, by name; they take precedence over what the data show.
        kind: What `infer_type` returned.
        splits: The datasets that label it.

    Raises:
        InferenceError: If labels are needed and the data do not show them.
    """
    labels = given.get("labels")
    if labels is None and kind["type"] == "sentiment":
        labels = _ordered(name, kind, splits)
    elif labels is None and kind["type"] in ("regression", "image-regression"):
        labels = _targets(name, splits)
    elif labels is None and kind["type"] in HEADS and HEADS[kind["type"]].labels_objects:
        labels = _of_objects(name, splits)
    elif labels is None and kind["type"] in HEADS and HEADS[kind["type"]].takes_labels:
        labels = _union(name, kind, splits)
    return {**kind, **given, "labels": labels}


def _of_objects(name: str, splits: Splits) -> list[str]:
    """Return the labels of objects: the names of the column's numbers, or all texts, sorted."""
    labels: dict[str, None] = {}
    for dataset, rows in splits.items():
        names = class_label(objects_label(rows["train"].features[name]))
        if names is not None:
            labels.update(dict.fromkeys(names.names))
            continue
        found: set[Any] = set()
        for data in rows.values():
            for cell in data.with_format(None)[name] if name in data.column_names else ():
                objects = objects_in(cell)
                listed_labels = objects.get(LABELS) if isinstance(objects, Mapping) else None
                found.update(label for label in listed_labels or () if label is not None)
        if not all(isinstance(label, str) for label in found):
            numbers = ", ".join(f"{value_text(value)}: ..." for value in sorted(found, key=str)[:3])
            raise InferenceError(
                name, "labels", f"dataset {dataset!r} labels its boxes with numbers. Name them: labels: {{{numbers}}}."
            )
        labels.update(dict.fromkeys(sorted(found)))
    if not labels:
        raise InferenceError(
            name,
            "labels",
            f"no picture of {listed(splits)} has an object, and labels are not given. List them: labels: [...].",
        )
    return list(labels)


def _targets(name: str, splits: Splits) -> list[str] | None:
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
    """Return the tasks, those that share a head with the labels of all of them where the data showed them.

    Args:
        tasks: The tasks.
        given: The fields of each that are given, by name.

    Raises:
        ValueError: If ``tied_to`` names no task that fits.
    """
    result = list(tasks)
    for owner in tasks:
        names = [task.name for task in tasks if owner.name in (task.name, task.tied_to)]
        sharers = [task for task in tasks if task.name in names]
        # The order of a scale is not to be read off a union.
        if len(names) > 1 and owner.type != "sentiment" and not any(given.get(n, {}).get("labels") for n in names):
            labels = list(dict.fromkeys(label for task in sharers for label in task.labels or ()))
            result = [replace(t, labels=labels) if t.name in names and t.labels else t for t in result]
    check_ties(result)
    return result


def _ordered(name: str, kind: Mapping[str, Any], splits: Splits) -> Sequence[str]:
    """Return the labels of a scale, which only ClassLabels of one order show."""
    features = [rows["train"].features[name] for rows in splits.values()]
    orders = {tuple(names.names) for names in map(class_label, features) if names is not None}
    if len(orders) == 1 and all(isinstance(feature, ClassLabel) for feature in features):
        return orders.pop()
    found = sorted({label for rows in splits.values() for label in _labels_of(name, kind, "", rows["train"])})
    raise InferenceError(
        name,
        "labels",
        "sentiment needs its labels in order, from most negative to most positive, and the data do not show it. "
        f"Found {listed(found)}.",
    )


def _union(name: str, kind: Mapping[str, Any], splits: Splits) -> list[str]:
    """Return all labels, in order of first appearance."""
    labels: dict[str, None] = {}
    for dataset, rows in splits.items():
        feature = rows["train"].features[name]
        names = class_label(feature)
        if _has_names(feature):
            labels.update(dict.fromkeys(getattr(feature, "feature", feature) if names is None else names.names))
            continue
        counts = _labels_of(name, kind, dataset, rows["train"])
        _check_repeat(name, dataset, counts)
        labels.update(dict.fromkeys(sorted(counts)))
    for dataset, rows in splits.items():
        for use, data in rows.items():
            if use == "train" or name not in data.column_names or _has_names(data.features[name]):
                continue
            labels.update(
                dict.fromkeys(sorted(_labels_of(name, kind, dataset, data, is_train=False).keys() - labels.keys()))
            )
    if twins := _look_alikes(labels):
        logger.warning(
            "Task %r: labels differ in case, spaces or form of their characters alone: %s. If each pair is one label, "
            "name it once: labels: {%r: %r, ...}.",
            *(name, "; ".join(listed(pair) for pair in twins[:5]), twins[0][1], twins[0][0]),
        )
    if joined := _joined(labels):
        logger.warning(
            "Task %r: labels such as %r join others. If a row may have several labels, write them as JSON, such as "
            '["a", "b"], and give type: multi-label-classification.',
            *(name, joined),
        )
    return list(labels)


def _has_names(feature: Any) -> bool:
    """Return whether a column itself names its labels: integers with names, or structs of one number a label."""
    return class_label(feature) is not None or isinstance(getattr(feature, "feature", feature), Mapping)


def _joined(labels: Collection[str]) -> str | None:
    """Return a label that is made of others."""
    for label in labels:
        tags = [tag.strip() for tag in re.split(r"[,;|/+&]", label)]
        if len(tags) > 1 and all(tag in labels for tag in tags):
            return label
    return None


def _labels_of(name: str, kind: Mapping[str, Any], dataset: str, data: Dataset, is_train: bool = True) -> Counter[str]:
    """Return the labels of a column, or of its lists, and how often each occurs."""
    values = count_values(data, name)
    if not values.is_whole:
        raise InferenceError(
            name,
            "labels",
            f"the column of dataset {dataset!r} holds more than {MOST_VALUES:,} different values. Is it a column of "
            "ids or texts? Map another one.",
        )
    names = class_label(data.features[name])
    if names is not None:
        return Counter({names.names[value]: count for value, count in values.counts.items() if value >= 0})
    is_tagging = kind["type"] in HEADS and HEADS[kind["type"]].needs_words
    is_many = is_tagging or "multi" in (kind.get("problem_type") or kind["type"])
    is_list = hasattr(data.features[name], "feature")
    is_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values.counts)
    has_numbers_each = not is_many or hasattr(data.features[name].feature, "feature") if is_list else False
    if (
        is_train
        and is_list
        and is_numbers
        and (has_numbers_each or any(isinstance(value, float) for value in values.counts))
    ):
        raise InferenceError(
            name,
            "labels",
            f"dataset {dataset!r} labels it with lists of numbers. Name what they stand for, in their order: "
            "labels: [...].",
        )
    # Numbers of other rows than those of training are the labels that they are when written as texts, if any.
    if is_train and not all(isinstance(value, (str, bool)) for value in values.counts):
        numbers = ", ".join(f"{value_text(value)}: ..." for value in sorted(values.counts)[:3])
        raise InferenceError(
            name, "labels", f"dataset {dataset!r} labels it with numbers. Name them: labels: {{{numbers}}}."
        )
    found: Counter[str] = Counter()
    for value, count in values.counts.items():
        for label in _in_cell(name, dataset, value, is_tagging, is_many) if not is_list else [value]:
            if text := value_text(label):
                found[text] += count
    longest = max(found, key=len, default="")
    if len(longest) > _LONGEST:
        raise InferenceError(
            name,
            "labels",
            f"dataset {dataset!r} has a label of {len(longest):,} characters, {longest[:40]!r}... Is it a column of "
            "texts? Map another one, or list the labels.",
        )
    return found


def _in_cell(name: str, dataset: str, value: Any, is_tagging: bool, is_many: bool) -> Iterable[Any]:
    """Return the labels that one cell names."""
    if not isinstance(value, str):
        return [value]
    found = list_in(value.strip())
    if isinstance(found, dict) and not is_tagging:
        return list(found)
    if isinstance(found, list):
        if is_soft(found) and not is_tagging:
            raise InferenceError(
                name,
                "labels",
                f"dataset {dataset!r} has a cell with numbers, {value[:80]!r}. Name what they stand for, in their "
                "order: labels: [...].",
            )
        if is_many:
            return [label for label in found if label is not None]
        raise InferenceError(
            name,
            "",
            f"dataset {dataset!r} has a cell that holds a list, {value[:80]!r}, beside others that are one label. Give "
            "type: multi-label-classification and write all cells as lists, or one label in each.",
        )
    if is_tagging:
        return words_in(value)
    if is_many and value.strip():
        raise InferenceError(
            name,
            "",
            f"dataset {dataset!r} has a cell without a list, {value[:80]!r}. Write the labels of a row as JSON, such "
            'as ["a", "b"].',
        )
    return [value]


def _check_repeat(name: str, dataset: str, counts: Counter[str]) -> None:
    """Refuse a column of ids, in which hardly a value occurs twice; say so where labels are rare."""
    items = counts.total()
    if items >= _ENOUGH and len(counts) > items / 2:
        raise InferenceError(
            name,
            "labels",
            f"dataset {dataset!r} has {len(counts):,} different labels in {items:,}, such as "
            f"{listed([label[:40] for label in list(counts)[:3]])}. Is it a column of ids or texts? Map another one; "
            "or list the labels if all are meant.",
        )
    if items >= _ENOUGH and len(counts) > items / _RARE:
        logger.warning(
            "Task %r: dataset %r has %d different labels in %d: fewer than %d of each on average.",
            *(name, dataset, len(counts), items, _RARE),
        )


def _look_alikes(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of labels that a person would read as one."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        seen = "".join(c for c in unicodedata.normalize("NFKC", label) if unicodedata.category(c) != "Cf")
        key = " ".join(seen.casefold().split())
        groups.setdefault(key, []).append(label)
    return [group for group in groups.values() if len(group) > 1]
