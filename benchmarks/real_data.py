"""The real datasets as tasks: where a task's columns are, and how its labels are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict, load_dataset

from hf_mtl import TaskConfig

__all__ = ["Task", "label_names", "load_folder", "task_config"]


@dataclass(frozen=True)
class Task:
    """A column of a folder of data as a task.

    Args:
        folder: The folder.
        inputs: The input columns.
        target: The column of the labels.
        kind: The task's type.
        problem_type: What the type leaves open, such as several labels a text.
    """

    folder: str
    inputs: tuple[str, ...]
    target: str
    kind: str = "sequence-classification"
    problem_type: str | None = None

    @property
    def metric(self) -> str:
        """The metric that stands for the task."""
        if self.problem_type is not None:
            return "f1_micro"
        return {"token-classification": "f1", "regression": "pearson"}.get(self.kind, "accuracy")

    @property
    def renamed(self) -> dict[str, str]:
        """The input columns and the names that hf_mtl reads them by."""
        pair = ("text", "text_pair") if len(self.inputs) == 2 else self.inputs
        return dict(zip(self.inputs, pair, strict=True))


def load_folder(folder: Path, **rows: int) -> DatasetDict:
    """Load the three splits of one data folder, Parquet or gzipped JSON Lines.

    Args:
        folder: The folder.
        rows: The most rows of a split by its name, drawn with a fixed seed; splits not named are whole.
    """
    suffix, loader = (".parquet", "parquet") if (folder / "train.parquet").exists() else (".jsonl.gz", "json")
    files = {split: str(folder / f"{split}{suffix}") for split in ("train", "validation", "test")}
    parts = load_dataset(loader, data_files=files)
    for split, count in rows.items():
        parts[split] = parts[split].shuffle(seed=0).select(range(min(count, len(parts[split]))))
    return parts


def label_names(task: Task, data: DatasetDict) -> list[str] | None:
    """Return the label names: the feature's own, or the sorted strings of all splits; of numbers none."""
    if task.kind == "regression":
        return None
    feature = data["train"].features[task.target]
    feature = getattr(feature, "feature", feature)
    if getattr(feature, "names", None):
        return list(feature.names)
    column: list[Any] = [label for part in data.values() for label in part[task.target]]
    return sorted({label for row in column for label in (row if isinstance(row, list) else [row])})


def task_config(name: str, task: Task, data: DatasetDict, **kwargs: Any) -> TaskConfig:
    """Return the task as hf_mtl takes it."""
    return TaskConfig(name, task.kind, labels=label_names(task, data), problem_type=task.problem_type, **kwargs)
