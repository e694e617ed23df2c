"""Tasks tied to one head: which may, and who they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl_light.errors import UserError

__all__ = ["check_ties", "owner_of", "tied_tasks"]

#: What tasks with one head have in common: what it is made of, and what its logits say. Weights, losses' options and
#: metrics are each task's own.
_COMMON = (
    *("type", "labels", "problem_type", "pooling", "layers", "layer_dropout", "dropout", "options", "inputs"),
    *("target_mean", "target_std", "branch"),
)


def check_ties(tasks: Iterable[Any]) -> None:
    """Check that each task with ``tied_to`` names one that is not tied itself, and that they fit together.

    Args:
        tasks: All tasks of a model, as `hf_mtl.TaskConfig`.

    Raises:
        ValueError: If it names no task, itself, or one that is tied itself; or the two differ in what a head is
            made of.
    """
    named = {task.name: task for task in tasks}
    for name, task in named.items():
        other = task.tied_to
        if other is None:
            continue
        if other not in named:
            raise UserError(
                f"Task {name!r}: tied_to names {other!r}, which is no task of the model."
                f"{nearest(other, named)} Tasks: {listed(named)}."
            )
        owner = named[other]
        if owner.tied_to is not None:
            advice = (
                "A task cannot be tied to itself: leave tied_to out"
                if other == name
                else f"Name the task whose head it is, or let one of them keep its own; {owner.tied_to!r} is next"
            )
            raise UserError(f"Task {name!r}: tied_to names {other!r}, which is tied itself. {advice}.")
        for field in _COMMON:
            mine, its = getattr(task, field), getattr(owner, field)
            if mine != its:
                raise UserError(
                    f"Task {name!r} is tied to the head of {other!r}, but they differ in {field}: {_shown(mine)} and "
                    f"{_shown(its)}. Give both the same, in the same order."
                )


def _shown(value: Any) -> str:
    return listed(value) if isinstance(value, tuple) else repr(value)


def owner_of(tasks: Sequence[Any], name: str) -> str:
    """Return the task that holds a task's head."""
    return next(str(task.tied_to or name) for task in tasks if task.name == name)


def tied_tasks(tasks: Sequence[Any], name: str) -> list[str]:
    """Return all tasks that have the head of one, itself among them, in the order of the tasks."""
    owner = owner_of(tasks, name)
    return [task.name for task in tasks if owner in (task.name, task.tied_to)]
