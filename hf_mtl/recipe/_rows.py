"""Every row looked at once before anything is trained or written: inputs that are there, labels that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import Head, LabelError, head_class
from hf_mtl.recipe._mistakes import RecipeError, blamed_on

__all__ = ["check_rows", "has_labels"]


def check_rows(name: str, use: str, data: Dataset, tasks: Sequence[TaskConfig]) -> None:
    """Check that every input is there and every label fits its task.

    Args:
        name: Name of the dataset.
        use: ``"train"``, ``"validation"`` or ``"test"``.
        data: The rows, columns named after inputs and tasks.
        tasks: The tasks.

    Raises:
        RecipeError: At the first mistake; the message names dataset, row and task.
    """
    heads: dict[str, type[Head]] = {task.name: head_class(task) for task in tasks}
    with blamed_on(""):
        columns = LabelledDataset(f"{name} ({use})", data, tasks, heads)
        by_name = {task.name: task for task in tasks if task.name in columns.tasks}
        fine: dict[str, set[Any]] = {task: set() for task in by_name}
        for start in range(0, len(columns), 1000):
            for row in columns.read(range(start, min(start + 1000, len(columns)))):
                for task, label in row.labels.items():
                    if heads[task].column_is_input:
                        continue  # any text will do, and a corpus of them is not to be kept
                    where = f"Dataset {columns.name!r}, row {row.index}, task {task!r}"
                    _check_label(where, by_name[task], heads[task], label, row.text, fine[task])


def _check_label(
    where: str, task: TaskConfig, head: type[Head], label: Any, text: str | list[str], fine: set[Any]
) -> None:
    is_list = isinstance(label, list)
    if head.needs_words and is_list and len(label) != len(text):
        raise RecipeError(
            "", f"{where}: {len(label)} tags for {len(text)} tokens. Token classification needs one tag per token."
        )
    # What was seen before was checked before: most rows cost a look-up.
    key = tuple(label) if is_list else repr(label) if isinstance(label, dict) else label
    if key not in fine:
        try:
            head.reference(task, label)
        except LabelError as error:
            raise RecipeError("", f"{where}: {error}") from None
        fine.add(key)


def has_labels(data: Dataset, tasks: Mapping[str, Any] | Sequence[str]) -> bool:
    """Return whether any row has a label; -1, where labels have names, stands for none."""
    return any(
        any(value is not None and value != -1 for value in data.with_format(None)[task])
        for task in tasks
        if task in data.column_names
    )
