"""Rows of training and evaluation data checked when the trainer is built, not hours into the training."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from hf_mtl.configuration import owner_of
from hf_mtl.data import LabelCounts, LabelledDataset, check_rows, check_tasks_have_rows
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments

__all__ = ["mark_trained", "rows_checked"]


def rows_checked(
    model: MultiTaskModel,
    args: MultiTaskTrainingArguments,
    train: Mapping[str, LabelledDataset],
    evaluation: Mapping[str, LabelledDataset],
    check_data: bool,
) -> dict[str, dict[str, LabelCounts]]:
    """Check every row once, and that every task has rows to learn from.

    Args:
        model: The model.
        args: The arguments.
        train: The training datasets.
        evaluation: The evaluation datasets.
        check_data: Whether to check anything.

    Returns:
        For each training dataset and task how many rows have which label; nothing if nothing was checked.

    Raises:
        ValueError: At the first mistake; the message names dataset, row and task.
    """
    if not check_data:
        return {}
    progress = not args.disable_tqdm and args.process_index == 0
    counts = {name: check_rows(part, progress) for name, part in train.items()}
    if train:
        frozen = {*model.frozen["heads"], *((args.frozen_heads or ()) if args.unfreeze_at_step is None else ())}
        untrained = {name for name, head in model.task_heads.items() if head.is_new} - frozen
        check_tasks_have_rows(model.tasks, counts, {name: part.unused for name, part in train.items()}, untrained)
    for name, part in evaluation.items():
        named = copy.copy(part)
        named.name = f"{name} (validation)"
        check_rows(named, progress)
    return counts


def mark_trained(model: MultiTaskModel, parts: Mapping[str, LabelledDataset]) -> None:
    """Note that the heads of the datasets' tasks have learned."""
    heads = model.task_heads
    for name in {task for part in parts.values() for task in part.tasks}:
        heads[owner_of(model.tasks, name)].is_new = False
