"""Tasks as the data show them: the types and the labels that were not written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset, DatasetDict

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig, check_task_names, listed_tasks
from hf_mtl.data._task_labels import Splits, infer_labels, with_shared_labels
from hf_mtl.data._task_types import InferenceError, infer_type
from hf_mtl.data.sources import SPLIT_NAMES, as_datasets
from hf_mtl.heads import Head, head_class
from hf_mtl_light.errors import UserError

__all__ = ["InferenceError", "infer_task", "infer_tasks", "infer_type", "with_shared_labels"]


def infer_tasks(
    datasets: Any,
    tasks: Sequence[TaskConfig] | None = None,
    *,
    eval_datasets: Any = None,
    heads: Mapping[str, type[Head]] | None = None,
) -> list[TaskConfig]:
    """Return tasks complete with the types and labels that their columns show, as a recipe's are.

    Labels are sorted; those that only evaluation rows have come last.

    Args:
        datasets: The training data, in any form that the trainer takes. Of a `DatasetDict` all splits are looked at.
        tasks: The tasks; what they give takes precedence over what the data show. ``None``: one for each column that
            is no input.
        eval_datasets: The evaluation data, for their labels.
        heads: Further task types and their heads.

    Raises:
        InferenceError: If the data leave a type or labels open; the message says which field settles it.
        ValueError: If no dataset has the column of a task.

    >>> from hf_mtl import TaskConfig, infer_tasks
    >>> data = Dataset.from_dict({"text": ["fine", "no", "well"], "emotion": ["joy", "anger", "joy"]})
    >>> infer_tasks(data, [TaskConfig("emotion")])[0].labels
    ('anger', 'joy')
    """
    splits = _splits(datasets, eval_datasets)
    columns = list(dict.fromkeys(c for by_split in splits.values() for c in by_split["train"].column_names))
    if tasks is None:
        tasks = [TaskConfig(column) for column in columns if column not in INPUT_COLUMNS]
        if not tasks:
            raise UserError(f"No column is left to be a task's. Columns: {listed(columns)}.")
    tasks = [task if isinstance(task, TaskConfig) else TaskConfig.from_dict(task) for task in listed_tasks(tasks)]
    check_task_names([task.name for task in tasks])
    found, all_given = [], {}
    for task in tasks:
        labelling = {name: by_split for name, by_split in splits.items() if task.name in by_split["train"].column_names}
        given = {key: value for key, value in task.to_dict().items() if key != "name"}
        all_given[task.name] = given
        if not labelling:
            if not task.type:
                raise UserError(
                    f"Task {task.name!r}: no dataset has such a column.{nearest(task.name, columns)} Columns: "
                    f"{listed(columns)}. Rename the column of its labels, or give the task's type and labels."
                )
            found.append(task)
            continue
        kind = infer_type(task.name, given, {name: by_split["train"] for name, by_split in labelling.items()})
        found.append(infer_task(task.name, given, kind, labelling, heads))
    return with_shared_labels(found, all_given)


def infer_task(
    name: str,
    given: Mapping[str, Any],
    kind: Mapping[str, Any],
    splits: Splits,
    heads: Mapping[str, type[Head]] | None = None,
) -> TaskConfig:
    """Return a task with its labels, checked against its type.

    Args:
        name: Name of the task.
        given: The fields that are given, by name.
        kind: What `infer_type` returned.
        splits: The datasets that label it: by name, rows by use, ``train`` among them.
        heads: Further task types and their heads.

    Raises:
        InferenceError: If labels are needed and the data do not show them.
        ValueError: If the task does not fit its type.
    """
    task = TaskConfig(name, **infer_labels(name, given, kind, splits))
    head_class(task, heads)
    return task


def _splits(datasets: Any, eval_datasets: Any) -> Splits:
    """Return the rows of each dataset by use."""
    splits: dict[str, dict[str, Dataset]] = {
        name: {"train": data} for name, data in as_datasets(datasets, "train").items()
    }
    named = datasets if isinstance(datasets, Mapping) and not isinstance(datasets, DatasetDict) else {"data": datasets}
    for name, data in named.items():
        if isinstance(data, DatasetDict):
            for use in ("validation", "test"):
                split = next((split for split in SPLIT_NAMES[use] if split in data), None)
                if split is not None:
                    splits[name][use] = data[split]
    for name, data in as_datasets(eval_datasets, "validation").items():
        if name in splits:
            splits[name]["validation"] = data
    return splits
