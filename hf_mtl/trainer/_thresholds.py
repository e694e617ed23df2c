"""The part of the trainer that finds the scores from which multi-label tasks name their labels, and temperatures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from transformers.utils import logging

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import SequenceClassificationHead, own_thresholds
from hf_mtl.metrics import MultilabelF1, best_thresholds
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._calibration import CalibratedTask, calibrate_tasks
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._labelled_outputs import LabelledOutputs
from hf_mtl.trainer._reading_outputs import labelled_datasets, read_outputs
from hf_mtl_light.errors import UserError

__all__ = ["ThresholdTrainer", "TunedThresholds", "check_tuning", "labelled_tasks", "tune_task"]

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


class ThresholdTrainer(EvaluatingTrainer):
    """Transformers' trainer that tunes the thresholds of multi-label tasks and calibrates probabilities."""

    #: What the last tuning of each task changed.
    tuned_thresholds: dict[str, TunedThresholds]
    #: What the last calibration of each task changed.
    calibrated_tasks: dict[str, CalibratedTask]

    def tune_thresholds(self, eval_dataset: Any = None, *, how: str = "per-label") -> dict[str, TunedThresholds]:
        """Find the thresholds of multi-label tasks on labelled rows and put them into the model's config.

        From then on predictions, metrics and answers go by them, and they are saved with the model. Give rows that the
        model was not trained on; scores on these rows flatter afterwards, so report those of others.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            how: ``"per-label"``: for each label the threshold with the best F1 (0.5 for a label that no row has), or
                ``"global"``: one for all labels, with the best micro F1.

        Returns:
            For each multi-label task that the rows label its thresholds, and its metrics before and after.

        Raises:
            ValueError: If no row labels a multi-label task, or ``how`` is neither.
        """
        model = self._plain_model
        names = [name for name, head in model.task_heads.items() if _is_tunable(head)]
        datasets = labelled_datasets(self._named_datasets(eval_dataset, "validation"), names)
        tuned = {}
        for name, (scores, flags) in self._label_scores(datasets, names).items():
            tuned[name] = tune_task(model, name, scores, flags, how)
        if not tuned:
            raise UserError(
                "No row labels a multi-label task, so there are no thresholds to tune. Multi-label tasks of the model: "
                f"{listed(names) or 'none'}. Pass labelled validation rows as eval_dataset."
            )
        self.tuned_thresholds.update(tuned)
        return tuned

    def calibrate(
        self,
        eval_dataset: Any = None,
        *,
        tasks: Sequence[str] | None = None,
        coverage: float | Sequence[float] | None = None,
    ) -> dict[str, CalibratedTask]:
        """Fit the temperature of each task with probabilities on labelled rows and put it into the model's config.

        Scores of answers then mean what they say, as far as one number can do it; which label is answered does not
        change: see `hf_mtl.metrics.best_temperature`. Give rows that the model was not trained on.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            tasks: Names of the tasks; ``None``: all that have probabilities and labelled rows.
            coverage: Finds also from which probability on a label belongs to a row's set, so that the sets of such a
                part of rows hold the truth, for tasks with one label a row: what ``coverage=0.9`` of the pipeline
                needs. Several numbers keep several; those that a task has are found again.

        Returns:
            For each task its temperature, and how likely the labels were before and after.

        Raises:
            ValueError: If a task has no probabilities to calibrate, no row labels one that has, or the coverage is out
                of its range, or for no task.
        """
        coverages = [coverage] if isinstance(coverage, (int, float)) else coverage or []
        calibrated = calibrate_tasks(self, self._named_datasets(eval_dataset, "validation"), tasks, coverages)
        self.calibrated_tasks.update(calibrated)
        return calibrated

    def _label_scores(
        self, datasets: Mapping[str, LabelledDataset], names: Sequence[str]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the scores and the flags of each task's labels, both [R, C], over all rows that it labels."""
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for name, columns in read_outputs(self, datasets, names, _scores_and_flags):
            found.setdefault(name, []).append(columns)
        joined = {name: found[name] for name in names if name in found}
        return {name: tuple(map(np.concatenate, zip(*each, strict=True))) for name, each in joined.items()}  # type: ignore[misc]


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
        how: See `ThresholdTrainer.tune_thresholds`.
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
