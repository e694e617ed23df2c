"""Cells of a column as the labels that people mean by them: names, numbers that stand for names, lists in one cell."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from datasets import ClassLabel

from hf_mtl.configuration import TaskConfig, value_text
from hf_mtl.heads import LABELS, Head, LabelError, as_columns, is_soft

__all__ = ["LabelReader", "class_label", "list_in", "objects_in", "objects_label", "words_in"]

#: Characters of a cell that may hold a list: what is longer is a text.
_LONGEST_LIST = 100_000
#: How else truth values are written.
_TRUTH = {True: ("true", "1", "yes"), False: ("false", "0", "no")}
#: Quoted texts without a comma between them, as numpy prints arrays: Python would join them to one.
_JOINED = re.compile(r"""['"]\s*['"]""")


def class_label(feature: Any) -> ClassLabel | None:
    """Return the `ClassLabel` that a column, or a column of lists, is made of."""
    inner = getattr(feature, "feature", feature)
    return inner if isinstance(inner, ClassLabel) else None


def objects_label(feature: Any) -> Any:
    """Return the feature of the objects' labels in a column of objects; ``None``: it says none."""
    fields = getattr(feature, "feature", feature)
    return fields.get(LABELS) if isinstance(fields, Mapping) else None


def objects_in(cell: Any) -> Any:
    """Return a cell's objects as one mapping with a list for each key; what holds none is left, an empty text null.

    >>> objects_in([{"bbox": [0, 0, 9, 9], "category": "cell"}])
    {'bbox': [[0, 0, 9, 9]], 'category': ['cell']}
    """
    if isinstance(cell, str):
        cell = list_in(cell.strip()) if cell.strip() else None
    return as_columns(cell)


def list_in(text: str) -> Any:
    """Return the list or the mapping that a cell holds as text, as JSON or as Python prints it; else the text.

    >>> list_in("['a', 'b']"), list_in('["a"]'), list_in("[a, b]"), list_in("['a' 'b']")
    (['a', 'b'], ['a'], '[a, b]', "['a' 'b']")
    """
    if text[:1] not in ("[", "{", "(") or len(text) > _LONGEST_LIST:
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(found, (list, dict, tuple)) and not (read is ast.literal_eval and _JOINED.search(text)):
            return list(found) if isinstance(found, tuple) else found
    return text


def words_in(text: str) -> list[Any]:
    """Return the words that a cell holds as text: a list, or words with spaces between them.

    >>> words_in("in Paris"), words_in("['in', 'Paris']")
    (['in', 'Paris'], ['in', 'Paris'])
    """
    found = list_in(text.strip())
    return found if isinstance(found, list) else text.split()


class LabelReader:
    """Reads the cells of a task's column.

    What a cell holds is a label if it is one; else what it may stand for: a value that ``TaskConfig.label_values``
    names, a label with spaces around it, a number (1.0 as 1) or a truth value that is a label when written as text, a
    list written as text, a list of 0 and 1 for the task's labels in order. A distribution, a mapping from labels to
    numbers or a list of numbers that are no names, is left as it is, null where all of it is null. Empty texts and NaN
    are no label. What stands for nothing is left as it is, for the head to refuse.

    Args:
        task: The task.
        head: Its head class.
        feature: The column's feature.
    """

    def __init__(self, task: TaskConfig, head: type[Head], feature: Any) -> None:
        self._head = head
        self._labels = frozenset(task.labels or ())
        self._values = dict(task.label_values)
        self._folded = {label.casefold(): label for label in task.labels or ()}
        self._count = len(task.labels or ())
        names = class_label(objects_label(feature) if head.labels_objects else feature)
        self._names: Sequence[Any] | None = None
        if names is not None:
            self._names = names.names if head.names_classes else range(len(names.names))
        self._is_multi_label = task.is_multi_label
        # 0 and 1 in a list are labels where these are the names of some.
        self._zero_one = not {"0", "1"} & (self._labels | self._values.keys())

    def read(self, value: Any) -> Any:
        """Return the label of a cell; ``None``: it has none.

        Raises:
            LabelError: If numbers of a `ClassLabel` cannot be meant as such.
        """
        value = _without_decimals(value)
        if value is None:
            return None
        if self._head.labels_objects:
            return self._objects(value)
        if self._names is not None:
            return self._named(value)
        if not self._head.takes_labels:
            return self._amount(value)
        if isinstance(value, str) and value not in self._labels:
            value = self._in_text(value)
        if isinstance(value, Mapping):
            return _distribution(value)
        if not isinstance(value, (list, tuple)):
            return self._name(value)
        if self._head.needs_words:
            return [_distribution(item) if isinstance(item, Mapping) else self._name(item) for item in value]
        if self._is_multi_label and self._is_multi_hot(value):
            return [float(number) for number in value]
        names = [self._name(item) for item in value]
        if not self._is_multi_label and is_soft(value) and (len(value) == self._count or is_soft(names)):
            return list(value)
        return [float(number) for number in value] if self._is_probable(names) else names

    def _objects(self, value: Any) -> Any:
        """Return the objects of a picture, one mapping with a list for each key, with their labels' names."""
        value = objects_in(value)
        if not isinstance(value, Mapping) or not isinstance(value.get(LABELS), list):
            return value
        read = self._name if self._names is None else self._named
        return {**value, LABELS: [None if label is None else read(label) for label in value[LABELS]]}

    def _in_text(self, text: str) -> Any:
        """Return the list, or the mapping, that a cell of text holds where the task may have one; else the text."""
        if self._head.needs_words or self._is_multi_label:
            return self._list(text.strip())
        found = list_in(text.strip())
        return found if is_soft(found) else text

    def _named(self, value: Any) -> Any:
        """Return the name of a class integer: the order of names in a dataset need not be the model's."""
        assert self._names is not None
        if isinstance(value, list):
            if len(value) == len(self._names) > len(set(value)) and set(value) <= {0, 1} and self._is_multi_label:
                raise LabelError(
                    0,
                    f"found {value}, which as numbers of a ClassLabel names a label twice. For one number a label, 0 "
                    "or 1, cast the column to List(Value('int64')).",
                )
            return [self._named(item) for item in value]
        # datasets writes -1 for "no label" in test splits of benchmarks
        if value is None or value == -1:
            return None
        name = self._names[value]
        return self._values.get(name, name) if name not in self._labels else name

    def _list(self, text: str) -> Any:
        """Return the list that a cell of a task with lists holds as text."""
        found = list_in(text)
        if isinstance(found, str) and self._head.needs_words and not text.startswith("["):
            return text.split() or None
        return found if text else None

    def _is_multi_hot(self, value: Sequence[Any]) -> bool:
        return (
            self._zero_one
            and len(value) == self._count
            and all(isinstance(number, (int, float)) and number in (0, 1) for number in value)
        )

    def _is_probable(self, value: Sequence[Any]) -> bool:
        """Return whether a list without names is the probability of each label of a task that may have several."""
        return (
            self._is_multi_label
            and len(value) == self._count
            and all(isinstance(number, (int, float)) and 0 <= number <= 1 for number in value)
        )

    def _name(self, value: Any) -> Any:
        if isinstance(value, str):
            if value in self._labels:
                return value
        elif value is None or not isinstance(value, (bool, int, float)) or value != value:
            return None if value is None or isinstance(value, float) else value
        text = value_text(value)
        if text in self._values:
            return self._values[text]
        if text in self._labels:
            return text
        if not text or (value == -1 and self._values):
            return None  # datasets write -1 for "no label" where numbers have names
        if isinstance(value, bool):
            return next(
                (named[key] for named in (self._folded, self._values) for key in _TRUTH[value] if key in named), value
            )
        return value

    def _amount(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if self._head.is_regression:
            try:
                number = float(text) if text else None
            except ValueError:
                return list_in(text)
            return value if number is not None and not math.isfinite(number) else number
        return list_in(text)


def _distribution(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a mapping without what is null: Arrow gives every row the names of all; ``None`` where all is."""
    return {name: number for name, number in value.items() if number is not None} or None


def _without_decimals(value: Any) -> Any:
    """Return a cell of a column of decimals, which databases have, with numbers that labels may be."""
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, list) and any(isinstance(item, Decimal) for item in value):
        return [_without_decimals(item) for item in value]
    if isinstance(value, Mapping) and any(isinstance(item, Decimal) for item in value.values()):
        return {name: _without_decimals(item) for name, item in value.items()}
    return value
