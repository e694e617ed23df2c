"""The order of tasks in a model: sums of losses, random numbers and gradient norms follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hf_mtl.data import MultiTaskCollator
from hf_mtl.model import MultiTaskModel

__all__ = ["in_order", "order_tasks"]

_Value = TypeVar("_Value")


def in_order(named: Mapping[str, _Value], names: Sequence[str]) -> dict[str, _Value]:
    """Return a mapping in the order of some names, then the rest of it as it was.

    >>> in_order({"a": 1, "b": 2, "c": 3}, ["c", "a"])
    {'c': 3, 'a': 1, 'b': 2}
    """
    first = [name for name in names if name in named]
    return {name: named[name] for name in (*first, *(name for name in named if name not in first))}


def order_tasks(model: MultiTaskModel, collator: MultiTaskCollator, names: Sequence[str]) -> None:
    """Put the tasks of a model, and of what makes its batches, in an order; no weight changes.

    Args:
        model: The model.
        collator: What makes its batches.
        names: The tasks.
    """
    model.config.tasks = list(in_order({task.name: task for task in model.config.tasks}, names).values())
    held: dict[str, Any] = in_order(dict(model.heads.items()), names)
    model.heads.clear()
    for name, head in held.items():
        model.heads[name] = head
    collator.tasks = list(in_order({task.name: task for task in collator.tasks}, names).values())
    collator.heads = in_order(collator.heads, names)
