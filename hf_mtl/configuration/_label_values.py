"""Labels that are given as names of a column's values, such as ``{0: "negative", 1: "positive"}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["named_values", "value_text"]


def value_text(value: Any) -> str:
    """Return a value of a column as a label is written: without spaces around it, whole numbers without a point.

    >>> value_text(" a "), value_text(1.0), value_text(0), value_text(True)
    ('a', '1', '0', 'True')
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def named_values(task: str, labels: Any, values: Any) -> tuple[Sequence[str] | None, dict[str, str]]:
    """Return a task's labels, and which value of its column stands for which of them.

    Args:
        task: Name of the task.
        labels: Its labels, or a mapping from values to them.
        values: Its ``label_values``.

    Raises:
        ValueError: If both name values, or one names a value after no label.
        TypeError: If ``label_values`` is no mapping.

    >>> named_values("stars", {1: "bad", 2: "bad", 3: "good"}, {})
    (('bad', 'good'), {'1': 'bad', '2': 'bad', '3': 'good'})
    """
    if not isinstance(values or {}, Mapping):
        raise UserTypeError(f"Task {task!r}: label_values must be a mapping from values to labels, found {values!r}.")
    if isinstance(labels, Mapping):
        if values:
            raise UserError(f"Task {task!r}: labels name values, and label_values do, too. Keep one of them.")
        values, labels = labels, tuple(dict.fromkeys(labels.values()))
    named = {value_text(value): label for value, label in (values or {}).items()}
    for value, label in named.items():
        if label not in (labels or ()):
            raise UserError(
                f"Task {task!r}: label_values names {value!r} {label!r}, which is none of the labels: "
                f"{listed(labels or ())}.{nearest(label, labels or ())}"
            )
    return labels, named
