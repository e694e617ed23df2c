"""Temperatures fitted on labelled rows, after training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from transformers import Trainer
from transformers.utils import logging

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import Head, own_thresholds
from hf_mtl.metrics import (
    BrierScore,
    ExpectedCalibrationError,
    NegativeLogLikelihood,
    best_temperature,
    calibration_bins,
    conformal_threshold,
    threshold_at_temperature,
)
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._labelled_outputs import item_probabilities
from hf_mtl.trainer._reading_outputs import joined_outputs
from hf_mtl_light.description import coverage_key
from hf_mtl_light.errors import UserError
from hf_mtl_light.numerics import calibrated as divided
from hf_mtl_light.numerics import softmax

__all__ = [
    "CalibratedTask",
    "calibratable_tasks",
    "calibrate_task",
    "calibrate_tasks",
    "check_calibration",
    "forget_calibration",
    "with_temperature",
]

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class CalibratedTask:
    """What calibrating a task changed.

    The figures are of the rows that the temperature was fitted on. It is one number, so rows that were not seen are
    judged much alike; a few dozen rows still flatter it.

    Args:
        temperature: What its logits are divided by.
        before: ``expected_calibration_error``, ``brier_score`` and ``negative_log_likelihood`` (nats an item) with the
            temperature that the task had.
        after: The same with the new one.
        items: What it was fitted on: rows, of tagging tasks words.
        bins_before: What `hf_mtl.metrics.calibration_bins` says of these items with the temperature that the task had.
        bins_after: The same with the new one.
        conformal_thresholds: From each coverage to the probability from which a label belongs to a row's set; empty
            where no coverage was asked for, or rows have any number of labels or one a word.
    """

    temperature: float
    before: Mapping[str, float]
    after: Mapping[str, float]
    items: int
    bins_before: Sequence[Sequence[float]] = ()
    bins_after: Sequence[Sequence[float]] = ()
    conformal_thresholds: Mapping[str, float] = field(default_factory=dict)


def calibrate_tasks(
    trainer: Trainer,
    datasets: Mapping[str, LabelledDataset],
    tasks: Sequence[str] | None = None,
    coverages: Sequence[float] = (),
) -> dict[str, CalibratedTask]:
    """Fit the temperature of each task on labelled rows and put it into the model's config.

    Args:
        trainer: The trainer, whose model it is.
        datasets: The labelled datasets.
        tasks: Names of the tasks; ``None``: all that have probabilities.
        coverages: For which sets of labels are to hold the truth, besides those that a task has thresholds for.

    Raises:
        ValueError: If a task has no probabilities to calibrate, no row labels one that has, or none can have sets.
    """
    model: MultiTaskModel = trainer.accelerator.unwrap_model(trainer.model)
    names = calibratable_tasks(model, tasks, coverages)
    found = joined_outputs(trainer, datasets, names, lambda outputs: outputs.items()[:2])
    calibrated = {
        name: calibrate_task(model, name, logits, targets, coverages)
        for name, (logits, targets) in found.items()
        if len(logits)
    }
    if not calibrated:
        raise UserError(
            "No row labels a task with probabilities, so there is nothing to calibrate. Such tasks of the model: "
            f"{listed(names) or 'none'}. Pass labelled validation rows as eval_dataset."
        )
    return calibrated


def calibratable_tasks(
    model: MultiTaskModel, tasks: Sequence[str] | None = None, coverages: Sequence[float] = ()
) -> list[str]:
    """Return the tasks that are asked for, or all of a model that can be calibrated.

    Args:
        model: The model.
        tasks: Names of the tasks; ``None``: all that have probabilities.
        coverages: For which sets of labels are asked for.

    Raises:
        ValueError: If a task has no probabilities to calibrate, or sets are asked for and no task can have them.
    """
    heads = model.task_heads
    possible = [name for name, head in heads.items() if head.is_calibratable(head.task)]
    for name in tasks or ():
        if name not in heads:
            raise UserError(f"No task {name!r}.{nearest(name, heads)} Tasks of this model: {listed(heads)}.")
        if name not in possible:
            raise UserError(
                f"Task {name!r}: answers of the type {heads[name].task.type!r} have no probabilities that a "
                f"temperature could set right. Tasks of the model that have: {listed(possible) or 'none'}."
            )
    names = possible if tasks is None else list(tasks)
    keys = [coverage_key(coverage) for coverage in coverages]
    if keys and not any(heads[name].gives_sets(heads[name].task) for name in names):
        raise UserError(
            f"coverage would be without effect: sets of labels are for tasks with one label a row, and none of "
            f"{listed(names)} is one. Leave it out."
        )
    return names


def calibrate_task(
    model: MultiTaskModel, name: str, logits: np.ndarray, targets: np.ndarray, coverages: Sequence[float] = ()
) -> CalibratedTask:
    """Fit the temperature of a task on items, put it into the model's config, and return what it changed.

    Args:
        model: The model.
        name: A task that can be calibrated.
        logits: [n, C], not divided by a temperature.
        targets: [n, C], the probability of each label.
        coverages: For which sets of labels are to hold the truth, besides those that the task has thresholds for.

    Raises:
        ValueError: If a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise UserError(
            f"Task {name!r}: the model's logits are infinite or not a number. The model diverged: take an earlier "
            "checkpoint, or train again with a lower learning_rate."
        )
    head = model.task_heads[name]
    old = head.task
    new = with_temperature(old, best_temperature(logits, targets, _function(head)))
    temperature = new.calibration_temperature or 1.0
    if head.gives_sets(old):
        keys = dict.fromkeys([*old.conformal_thresholds, *map(coverage_key, coverages)])
        new = replace(new, conformal_thresholds=_set_thresholds(logits, targets, temperature, list(keys)))
    (before, bins_before), (after, bins_after) = (
        _scores(logits, targets, head, each) for each in (old.calibration_temperature or 1.0, temperature)
    )
    model.replace_task(new)
    return CalibratedTask(
        temperature, before, after, len(logits), bins_before, bins_after, conformal_thresholds=new.conformal_thresholds
    )


def _function(head: Head) -> str:
    description = head.describe(head.task)
    assert description is not None  # calibratable
    return description.function


def _set_thresholds(
    logits: np.ndarray, targets: np.ndarray, temperature: float, coverages: Sequence[str]
) -> dict[str, float]:
    """Return the threshold of each coverage, of the probabilities as answers compute them."""
    table, labels = softmax(divided(logits, temperature)), targets.argmax(-1)
    return {coverage: conformal_threshold(table, labels, float(coverage)) for coverage in coverages}


def _scores(
    logits: np.ndarray, targets: np.ndarray, head: Head, temperature: float
) -> tuple[dict[str, float], list[list[float]]]:
    """Return the metrics of probabilities, and how often answers with a score are right."""
    predictions, references = item_probabilities(head, logits, targets, temperature)
    metrics = (ExpectedCalibrationError(), BrierScore(), NegativeLogLikelihood())
    joined: dict[str, float] = {}
    for metric in metrics:
        joined |= metric.compute(predictions=predictions, references=references)
    return joined, calibration_bins(np.asarray(predictions), np.asarray(references)).tolist()


def with_temperature(task: TaskConfig, temperature: float | None) -> TaskConfig:
    """Return a task with another temperature and the thresholds that decide with it as its own did before.

    Thresholds of sets are dropped where the temperature changes: they fitted the probabilities as they were.

    Args:
        task: The task.
        temperature: What its logits are divided by; ``None``: it is not calibrated.
    """
    ratio = (temperature or 1.0) / (task.calibration_temperature or 1.0)
    thresholds: Any = task.thresholds
    if isinstance(thresholds, Sequence):
        thresholds = [threshold_at_temperature(value, ratio) for value in own_thresholds(task)]
    elif thresholds is not None:
        thresholds = threshold_at_temperature(thresholds, ratio)
    kept = task.conformal_thresholds if ratio == 1 else {}
    return replace(task, calibration_temperature=temperature, thresholds=thresholds, conformal_thresholds=kept)


def forget_calibration(model: MultiTaskModel) -> None:
    """Take the temperatures off a model whose weights were changed: they fitted the model that it was."""
    for task in model.tasks:
        if task.calibration_temperature is not None or task.conformal_thresholds:
            logger.warning(
                f"Task {task.name!r}: its calibration is dropped, as the weights were changed. Calibrate again."
            )
            model.replace_task(replace(with_temperature(task, None), conformal_thresholds={}))


def check_calibration(heads: Mapping[str, Any], tasks: Sequence[TaskConfig], labelled: Collection[str]) -> None:
    """Check that there are rows to calibrate on, before a training that is to end with it.

    Args:
        heads: The head of each task, or its class.
        tasks: The model's tasks.
        labelled: Names of the tasks that validation rows label.

    Raises:
        ValueError: If no validation row labels a task with probabilities.
    """
    possible = [task.name for task in tasks if heads[task.name].is_calibratable(task)]
    without = [name for name in possible if name not in labelled]
    if not possible:
        raise UserError("calibrate=True is for tasks with probabilities, and there is none. Leave it out.")
    if without == possible:
        raise UserError(
            f"calibrate=True needs validation rows of the tasks {listed(possible)}, and there are none. A model is "
            "surer of its training rows than of any others. Give an eval_dataset (in a recipe a validation split), or "
            "leave calibrate out."
        )
    if without:
        logger.warning(f"No validation row labels {listed(without)}: these tasks are not calibrated.")
