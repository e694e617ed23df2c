"""Whether every task has rows to learn from, and every label one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig, tied_tasks
from hf_mtl.data.checks import LabelCounts
from hf_mtl_light.errors import UserError

__all__ = ["check_tasks_have_rows"]

logger = logging.getLogger(__name__)


def check_tasks_have_rows(
    tasks: Sequence[TaskConfig],
    counts: Mapping[str, Mapping[str, LabelCounts]],
    unused: Mapping[str, Collection[str]],
    untrained: Collection[str],
) -> None:
    """Warn of tasks and labels without a training row; refuse a new head that would stay random.

    Args:
        tasks: The model's tasks.
        counts: For each training dataset what its rows say of each task.
        unused: The columns of each dataset that are neither input nor a task's, one of which may be misspelt.
        untrained: The tasks whose heads are new and are to learn.

    Raises:
        ValueError: If such a head has no row; the message names the nearest column.
    """
    totals = {task.name: LabelCounts() for task in tasks}
    for by_task in counts.values():
        for name, found in by_task.items():
            totals[name].add(found)
    for task in tasks:
        sharers = tied_tasks(tasks, task.name)
        if not any(totals[name].labelled for name in sharers):
            message = f"Task {task.name!r}: no training row has a label.{_hint(task.name, unused)}"
            if task.name in untrained:
                raise UserError(
                    f"{message} Its head is new and would stay random. Rename the column of its labels to "
                    f"{task.name!r}, leave the task out, or freeze its head: frozen_heads=[{task.name!r}]."
                )
            logger.warning("%s Its head stays as it is.", message)
        elif totals[task.name].labels and len(sharers) == 1:
            missing = [label for label in task.labels or () if label not in totals[task.name].labels]
            if missing:
                logger.warning("Task %r: labels that no training row has: %s.", task.name, listed(missing))


def _hint(task: str, unused: Mapping[str, Collection[str]]) -> str:
    for dataset, columns in unused.items():
        if near := nearest(task, columns):
            return f"{near[:-1]}, a column of dataset {dataset!r}?"
    columns = [column for columns in unused.values() for column in columns]
    return f" Columns that are neither input nor a task's: {listed(dict.fromkeys(columns))}." if columns else ""
