"""Rows of training and evaluation data checked when the trainer is built, not hours into the training."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence, Set
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig, owner_of
from hf_mtl.data import (
    LabelCounts,
    LabelledDataset,
    MultiTaskCollator,
    check_rows,
    check_tasks_have_rows,
    look_at_texts,
    remarks_on_texts,
)
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._augmenting import check_augmentation
from hf_mtl.trainer._calibration import check_calibration, forget_calibration
from hf_mtl.trainer._construction import check_sizes
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._thresholds import check_tuning, labelled_tasks

__all__ = ["check_training", "mark_trained", "rows_checked", "warn_of_texts"]

logger = logging.getLogger(__name__)

#: Datasets whose texts are looked at when a trainer is built, and rows of each: a tenth of a second in all.
_MOST_DATASETS, _LOOK = 20, 100
#: Labels from which the mean of their losses is small beside the losses of other tasks.
_MANY_LABELS = 10


def rows_checked(
    trainer: EvaluatingTrainer, train: Mapping[str, LabelledDataset], evaluation: Mapping[str, LabelledDataset]
) -> dict[str, dict[str, LabelCounts]]:
    """Check every row once, and that every task has rows to learn from.

    Args:
        trainer: The trainer: its model, arguments and collator.
        train: The training datasets.
        evaluation: The evaluation datasets.

    Returns:
        For each training dataset and task how many rows have which label.

    Raises:
        ValueError: At the first mistake; the message names dataset, row and task.
    """
    args, model = trainer.args, trainer._plain_model
    progress = not args.disable_tqdm and args.process_index == 0
    counts = {name: check_rows(dataset, progress) for name, dataset in train.items()}
    if train:
        frozen = {*model.frozen["heads"], *((args.frozen_heads or ()) if args.unfreeze_at_step is None else ())}
        untrained = {name for name, head in model.task_heads.items() if head.is_new} - frozen
        check_tasks_have_rows(model.tasks, counts, {name: dataset.unused for name, dataset in train.items()}, untrained)
    for name, dataset in evaluation.items():
        named = copy.copy(dataset)
        named.name = f"{name} (validation)"
        check_rows(named, progress)
    collator = trainer.data_collator
    # Not one of the user's own, nor one of pictures alone.
    if isinstance(collator, MultiTaskCollator) and collator.tokenizer is not None:
        warn_of_texts(train, collator.tokenizer, collator.max_length)
    return counts


def check_training(
    trainer: EvaluatingTrainer,
    train: Mapping[str, LabelledDataset],
    evaluation: Mapping[str, LabelledDataset],
    scheduler: Any,
) -> None:
    """Check the arguments of a training against its datasets and tasks.

    Args:
        trainer: The trainer: its model, arguments and collator.
        train: The training datasets.
        evaluation: The evaluation datasets.
        scheduler: A scheduler that was passed in, or ``None``.

    Raises:
        ValueError: If an argument cannot have its effect on them.
    """
    args, tasks = trainer.args, trainer._plain_model.tasks
    if train and args.tune_thresholds != "none":
        check_tuning(args.tune_thresholds, tasks, labelled_tasks(evaluation))
    if train and args.calibrate:
        check_calibration(trainer._plain_model.task_heads, tasks, labelled_tasks(evaluation))
    check_sizes(args, {name: dataset.size for name, dataset in train.items()})
    check_augmentation(args, train, trainer.processing_class, scheduler)
    args.learning_rates_of_heads(tasks)
    if args.balancing == "fixed":
        _warn_of_means(tasks, {name for dataset in train.values() for name in dataset.tasks})


def warn_of_texts(datasets: Mapping[str, LabelledDataset], tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Warn of datasets whose tokens the tokenizer does not know, or whose rows are too long, by a few rows of each."""
    with_texts = (dataset for dataset in datasets.values() if dataset.has_texts)
    for dataset in islice(with_texts, _MOST_DATASETS):
        for remark in remarks_on_texts(dataset.name, look_at_texts(dataset, tokenizer, max_length, _LOOK)):
            logger.warning("%s", remark)


def _warn_of_means(tasks: Sequence[TaskConfig], trained: Set[str]) -> None:
    """Warn of tasks of many labels that are trained beside others and whose loss is the mean over them."""
    for task in tasks if len(trained) > 1 else ():
        if task.name in trained and task.is_multi_label and task.num_labels >= _MANY_LABELS and task.weight == 1:
            logger.warning(
                "Task %r: its loss is the mean over %d labels, small beside those of other tasks, so it may hardly "
                "learn. Set weight: %d to sum over the labels, or any other weight to choose it yourself.",
                task.name,
                task.num_labels,
                task.num_labels,
            )


def mark_trained(model: MultiTaskModel, datasets: Mapping[str, LabelledDataset]) -> None:
    """Note that the heads of the datasets' tasks have learned, and drop calibrations of the model as it was."""
    heads = model.task_heads
    for name in {task for dataset in datasets.values() for task in dataset.tasks}:
        heads[owner_of(model.tasks, name)].is_new = False
    forget_calibration(model)
