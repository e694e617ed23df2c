"""What heads learn from the training labels before training: scales of numbers, weights of labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hf_mtl.configuration import TaskConfig, tied_tasks
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import Head, LabelError
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.errors import UserError

__all__ = ["learn_from_labels"]


def learn_from_labels(model: MultiTaskModel, datasets: Mapping[str, LabelledDataset]) -> None:
    """Let heads see the training labels that they scale and weigh by.

    Args:
        model: The model, whose tasks are replaced by those that know their labels.
        datasets: The training datasets.

    Raises:
        ValueError: If a label does not fit; the message names dataset, row and task.
    """
    learning = {name: head for name, head in model.task_heads.items() if head.learns_from_labels}
    for name, head in learning.items():
        tasks = tied_tasks(model.tasks, name)
        if head.task.tied_to is None and len(tasks) > 1:
            # What a head goes by it learns from all tasks that share it; weights of labels are each task's own.
            learned = _learned(head, replace(head.task, class_weights=None, pos_weight=None), tasks, datasets)
            common = {key: getattr(learned, key) for key in ("options", "target_mean", "target_std")}
            for other in tasks:
                model.replace_task(replace(model.config.task(other), **common))
    for name, head in learning.items():
        model.replace_task(_learned(head, model.config.task(name), [name], datasets))


def _learned(
    head: Head, task: TaskConfig, sources: Sequence[str], datasets: Mapping[str, LabelledDataset]
) -> TaskConfig:
    """Return a task with what its head learned from the labels of some tasks."""
    read = ("", 0, "")

    def labels() -> Iterator[Any]:
        nonlocal read
        for name in sources:
            for dataset, data in datasets.items():
                for row, label in data.labels(name) if name in data.tasks else ():
                    read = (dataset, row, name)
                    yield label

    try:
        return head.learn(task, labels())
    except LabelError as error:
        # Heads look at each label as they read it, so the last one read is the wrong one.
        raise UserError(f"Dataset {read[0]!r}, row {read[1]}, task {read[2]!r}: {error}") from None
