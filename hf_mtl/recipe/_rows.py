"""Every row looked at once before anything is trained or written: inputs that are there, labels that fit."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import DataError, LabelCounts, LabelledDataset, check_rows
from hf_mtl.heads import Head, head_class
from hf_mtl.recipe._load import LoadedDataset
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.recipe._places import place_in_file

__all__ = ["check_split", "has_labels"]


def check_split(
    name: str, use: str, data: Dataset, tasks: Sequence[TaskConfig], loaded: LoadedDataset
) -> dict[str, LabelCounts]:
    """Check that every input is there and every label fits its task, and count labels.

    Args:
        name: Name of the dataset.
        use: ``"train"``, ``"validation"`` or ``"test"``.
        data: The rows, columns named after inputs and tasks.
        tasks: The tasks.
        loaded: Where the rows come from.

    Raises:
        RecipeError: At the first mistake; the message names dataset, row and task, and the line of a file.
    """
    heads: dict[str, type[Head]] = {task.name: head_class(task) for task in tasks}
    with blamed_on(""):
        try:
            return check_rows(LabelledDataset(f"{name} ({use})", data, tasks, heads), progress=sys.stderr.isatty())
        except DataError as error:
            split = loaded.names.get(use, loaded.names.get("train"))
            place = place_in_file(loaded.load, split, error.row)
            raise RecipeError("", f"Dataset {error.dataset!r}, row {error.row}{place}{error.message}") from error


def has_labels(data: Dataset, tasks: Mapping[str, Any] | Sequence[str]) -> bool:
    """Return whether any row has a label; -1, where labels have names, stands for none."""
    return any(
        any(value is not None and value != -1 for value in data.with_format(None)[task])
        for task in tasks
        if task in data.column_names
    )
