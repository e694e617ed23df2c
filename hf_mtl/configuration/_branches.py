"""Branches of a model: which there are, how many layers each has, and which tasks read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["check_branches"]


def check_branches(branches: Any, tasks: Iterable[Any], num_layers: int | None = None) -> dict[str, int]:
    """Check branches, and that each task's branch is one of them.

    Args:
        branches: Branch -> number of the encoder's top layers that it has for itself; ``None`` is none.
        tasks: All tasks of a model, as `hf_mtl.TaskConfig`.
        num_layers: The encoder's layers, where they are known.

    Returns:
        The branches, those of 0 layers among them: their tasks read the encoder's own layers.

    Raises:
        TypeError: If ``branches`` is no mapping of names to whole numbers.
        ValueError: If a number is negative or above ``num_layers``, or a task names a branch that does not exist.
    """
    if branches is None:
        branches = {}
    if not isinstance(branches, Mapping):
        raise UserTypeError(f"branches must be a mapping such as {{'tagging': 2}}, found {branches!r}.")
    for name, count in branches.items():
        if not isinstance(name, str) or not name:
            raise UserTypeError(f"branches: a branch's name must be a non-empty string, found {name!r}.")
        if isinstance(count, bool) or not isinstance(count, int):
            raise UserTypeError(f"Branch {name!r}: the number of its layers must be a whole number, found {count!r}.")
        if count < 0 or (num_layers is not None and count > num_layers):
            span = "at least 0" if num_layers is None else f"from 0 to {num_layers}, the layers of the encoder"
            raise UserError(f"Branch {name!r}: the number of its layers must be {span}; found {count}.")
    for task in tasks:
        if task.branch is not None and task.branch not in branches:
            there = f"Branches: {listed(branches)}." if branches else "The model has none: give branches={...}."
            raise UserError(
                f"Task {task.name!r}: branch {task.branch!r} does not exist.{nearest(task.branch, branches)} {there}"
            )
    return dict(branches)
