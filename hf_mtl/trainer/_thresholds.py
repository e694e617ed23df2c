"""Finding the scores from which multi-label tasks name their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from transformers import Trainer
from transformers.utils import logging

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import SequenceClassificationHead, own_thresholds
from hf_mtl.metrics import MultilabelF1, best_thresholds
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._labelled_outputs import LabelledOutputs
from hf_mtl.trainer._reading_outputs import joined_outputs
from hf_mtl_light.errors import UserError

__all__ = ["TunedThresholds", "check_tuning", "labelled_tasks", "tune_task", "tune_tasks"]

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class TunedThresholds:
    """What tuning a task's thresholds changed.

    The figures are of the rows that the thresholds were tuned on, so those of ``after`` flatter: what the thresholds
    are worth is shown by rows that were not seen, such as those of a test split.

    Args:
        thresholds: The new ones: one number, or one for each label.
        before: The metrics with those that the task had: ``f1_micro``, ``f1_macro``, ``subset_accuracy``.
        after: The same with the new ones.
        rows: The rows that they were tuned on.
    """

    thresholds: float | Sequence[float]
    before: Mapping[str, float]
    after: Mapping[str, float]
    rows: int


def tune_tasks(trainer: Trainer, datasets: Mapping[str, LabelledDataset], how: str) -> dict[str, TunedThresholds]:
    """Find the thresholds of multi-label tasks on labelled rows and put them into the model's config.

    Args:
        trainer: The trainer, whose model it is.
        datasets: The labelled datasets.
        how: See `EvaluatingTrainer.tune_thresholds`.

    Raises:
        ValueError: If no row labels a multi-label task, or ``how`` is unknown.
    """
    model: MultiTaskModel = trainer.accelerator.unwrap_model(trainer.model)
    names = [name for name, head in model.task_heads.items() if _is_tunable(head)]
    found = joined_outputs(trainer, datasets, names, _scores_and_flags)
    tuned = {name: tune_task(model, name, scores, flags, how) for name, (scores, flags) in found.items()}
    if not tuned:
        raise UserError(
            "No row labels a multi-label task, so there are no thresholds to tune. Multi-label tasks of the model: "
            f"{listed(names) or 'none'}. Pass labelled validation rows as eval_dataset."
        )
    return tuned


def _scores_and_flags(outputs: LabelledOutputs) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of labels, and which hold: of a distribution those of at least 0.5, as metrics read it."""
    head: Any = outputs.head  # of a multi-label task
    return head.scores(outputs.logits), outputs.labels.cpu().numpy() >= 0.5


def _is_tunable(head: Any) -> bool:
    return isinstance(head, SequenceClassificationHead) and head.task.is_multi_label


def tune_task(model: MultiTaskModel, name: str, scores: np.ndarray, flags: np.ndarray, how: str) -> TunedThresholds:
    """Find a task's thresholds from scores of its labels, and put them into the model's config.

    Args:
        model: The model.
        name: A multi-label task.
        scores: [R, C] in [0, 1].
        flags: [R, C], true where the label holds.
        how: See `EvaluatingTrainer.tune_thresholds`.
    """
    task = model.config.task(name)
    new = replace(task, thresholds=best_thresholds(scores, flags, how))
    before, after = (_metrics(each, scores, flags) for each in (task, new))
    model.replace_task(new)
    return TunedThresholds(new.thresholds, before, after, len(scores))  # type: ignore[arg-type]


def _metrics(task: TaskConfig, scores: np.ndarray, flags: np.ndarray) -> dict[str, float]:
    return MultilabelF1().compute(predictions=scores >= np.array(own_thresholds(task)), references=flags)


def labelled_tasks(evaluation: Mapping[str, LabelledDataset]) -> set[str]:
    """Return the tasks that a row of the evaluation datasets labels."""
    pairs = ((dataset, task) for dataset in evaluation.values() for task in dataset.tasks)
    return {task for dataset, task in pairs if any(True for _ in dataset.labels(task))}


def check_tuning(how: str, tasks: Sequence[TaskConfig], labelled: Collection[str]) -> None:
    """Check that there are rows to tune thresholds on, before a training that is to end with it.

    Args:
        how: The training argument ``tune_thresholds``: ``"per-label"`` or ``"global"``.
        tasks: The model's tasks.
        labelled: Names of the tasks that validation rows label.

    Raises:
        ValueError: If no validation row labels a multi-label task.
    """
    names = [task.name for task in tasks if task.is_multi_label]
    without = [name for name in names if name not in labelled]
    if not names:
        raise UserError(f"tune_thresholds={how!r} is for multi-label tasks, and there is none. Leave it out.")
    if without == names:
        raise UserError(
            f"tune_thresholds={how!r} needs validation rows of the multi-label tasks {listed(names)}, and there are "
            "none. Thresholds are not tuned on training rows, which the model knows, nor on test rows, which are to "
            "judge them. Give an eval_dataset (in a recipe a validation split), or leave tune_thresholds out."
        )
    if without:
        logger.warning(f"No validation row labels {listed(without)}: these tasks keep their thresholds.")
