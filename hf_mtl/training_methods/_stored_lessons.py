"""What stored predictions can teach: the tasks, and the order of their labels there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl._names import listed
from hf_mtl.data import StoredPredictions
from hf_mtl.training_methods._teachers import Lesson, label_order
from hf_mtl_light.errors import UserError

__all__ = ["stored_lessons"]


def stored_lessons(stored: StoredPredictions, tasks: Sequence[Any], chosen: Any) -> dict[str, Lesson]:
    """Return the order of the stored probabilities of each task.

    Args:
        stored: The predictions.
        tasks: The tasks that can be taught.
        chosen: Names of those that are to be; ``None``: all that have predictions.

    Raises:
        ValueError: If the labels of a task are others, or a chosen one has no predictions.
    """
    found = {}
    for task in tasks:
        if task.name not in stored.tasks or (chosen is not None and task.name not in chosen):
            continue
        order = label_order(task, stored.labels.get(task.name))
        if order is None:
            raise UserError(
                f"Task {task.name!r}: {stored.path} has probabilities of {listed(stored.labels.get(task.name) or ())}, "
                f"and the task has the labels {listed(task.labels or ())}. Store those of a model with these labels."
            )
        found[task.name] = Lesson(stored.path, task.name, order)
    missing = [name for name in chosen or () if name not in found]
    if missing or not found:
        raise UserError(
            f"{stored.path} has no predictions for {listed(missing) if missing else 'any task of the model'}. It has "
            f"those of {listed(stored.tasks)}."
        )
    return found
