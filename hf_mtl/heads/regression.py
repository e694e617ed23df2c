"""One number, or several, for a text or a pair of texts."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig, default_metrics
from hf_mtl.heads._divergence import number_divergence
from hf_mtl.heads._labels import LabelError, shortened
from hf_mtl.heads._numerics import as_array, at_least_float32
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl_light.answering import NumberAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.numerics import MOST_NUMBER
from hf_mtl_light.words import WordMap

__all__ = ["RegressionHead"]

logger = logging.getLogger(__name__)


class RegressionHead(SequenceHead):
    r"""Predict a number :math:`y` from a text, or one for each of the task's ``labels``, its C targets.

    The head learns :math:`z = (y - \mu) / \sigma` by squared error, where :math:`\mu` and :math:`\sigma` are the
    mean and the standard deviation of the training labels (``TaskConfig.target_mean`` and ``target_std``), of each
    target by itself, so that the task's loss starts near 1 whatever its unit. Answers are in the labels' own unit.

    A label is a number; of several targets a list of C numbers in their order, or a mapping from their names. A null
    among them trains the other targets alone. An item of the loss is a number that is there, so that each weighs the
    same whichever row it is in.

    Answers: ``{"value"}``; of several targets ``{"values": {target: number}}``.

    >>> task = TaskConfig("mood", "regression", labels=["valence", "arousal"])
    >>> RegressionHead.encode_labels(task, [[2.0, None], {"arousal": 1.5, "valence": 0.5}], [])
    tensor([[2.0000,    nan],
            [0.5000, 1.5000]], dtype=torch.float64)
    """

    learns_from_labels = True
    lesson_kind = "numbers"
    is_regression = True
    takes_labels = False
    labels_phrase = "the numbers"

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the task has no class weights, smoothing or thresholds, and that named targets are some."""
        cls.options(task)
        cls.check_multi_label(task)
        if task.class_weights or task.label_smoothing or task.problem_type is not None:
            raise UserError(
                f"Task {task.name!r}: regression takes no class_weights, label_smoothing or problem_type. Leave them "
                "out, or use the type 'sequence-classification'."
            )
        if task.labels is not None and not task.labels:
            raise UserError(
                f"Task {task.name!r}: labels name the numbers of a row, found none. Leave labels out for one number."
            )

    @classmethod
    def targets(cls, task: TaskConfig) -> tuple[str, ...]:
        """Return the names of a row's numbers; none where there is one without a name."""
        return tuple(task.labels or ())

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the two correlations and the mean absolute error; of several targets the means over them."""
        return default_metrics(task, "regression")

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> str:
        """Return regression."""
        return "regression"

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with the mean and the standard deviation of each target, unless it has them.

        A target without a training label gets 0 and 1, a constant one the standard deviation 1.
        """
        count = task.num_labels
        means, stds = _each(task.target_mean, count), _each(task.target_std, count)
        if None not in (*means, *stds):
            return task
        rows = [cls._numbers(task, value, row) for row, value in enumerate(values)]
        columns = torch.tensor(rows, dtype=torch.float64).reshape(-1, count).T
        for target, column in enumerate(columns):
            there = column[~column.isnan()]
            if means[target] is None:
                means[target] = float(there.mean()) if len(there) else 0.0
            if stds[target] is None:
                stds[target] = (float(there.std(correction=0)) if len(there) else 1.0) or 1.0
                if len(there) > 1 and there.max() == there.min():
                    which = (
                        f"Task {task.name!r}" if task.labels is None else f"Task {task.name!r}, {task.labels[target]!r}"
                    )
                    logger.warning(
                        "%s: all %d training labels are %g, so there is nothing to learn.",
                        *(which, len(there), float(there[0])),
                    )
                if len(there) and 0 < float(there.max() - there.min()) < 1 / MOST_NUMBER:
                    raise UserError(
                        f"Task {task.name!r}: its labels differ by less than {1 / MOST_NUMBER:g}, too little to "
                        "compute with. Multiply them by a fixed number."
                    )
        if task.labels is None:
            return dataclasses.replace(task, target_mean=means[0], target_std=stds[0])
        return dataclasses.replace(task, target_mean=means, target_std=stds)

    @classmethod
    def _numbers(cls, task: TaskConfig, value: Any, row: int) -> list[float]:
        """Return a label's numbers in the order of the targets, NaN where one is null."""
        if task.labels is None:
            remedy = (
                "Regression needs one number a row: of several annotators' numbers the mean; for several targets name "
                "them: labels=[...]."
            )
            return [_number(value, row, remedy)]
        wanted = f"Give a list of {task.num_labels} numbers, of {listed(task.labels)}, or a mapping from these names"
        if isinstance(value, Mapping):
            for name in value:
                if name not in task.labels:
                    raise LabelError(
                        row, f"{name!r} is none of the task's targets.{nearest(name, task.labels)} {wanted}."
                    )
            value = [value.get(name) for name in task.labels]
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise LabelError(row, f"found {value!r}. {wanted}.")
        if len(value) != task.num_labels:
            raise LabelError(row, f"{len(value)} numbers for {task.num_labels} targets. {wanted}.")
        remedy = "A target needs a number, or null to train the others alone."
        return [math.nan if number is None else _number(number, row, remedy) for number in value]

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return the labels as they are, [R] float64 or, of named targets, [R, C]: `loss_sum` standardises them."""
        rows = [cls._numbers(task, value, row) for row, value in enumerate(values)]
        labels = torch.tensor(rows, dtype=torch.float64)
        return labels[:, 0] if task.labels is None else labels

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> Any:
        """Return the label as a float; of several targets a list of C, null where there is none."""
        numbers = cls._numbers(task, value, 0)
        return numbers[0] if task.labels is None else [None if math.isnan(number) else number for number in numbers]

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of numbers that are there."""
        return (~labels.isnan()).sum()

    @staticmethod
    def scale(task: TaskConfig) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of each target, [C] float64; 0 and 1 until they are learned."""
        means, stds = _each(task.target_mean, task.num_labels), _each(task.target_std, task.num_labels)
        return np.array([mean or 0.0 for mean in means]), np.array([std or 1.0 for std in stds])

    def in_unit(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the numbers in the unit of the labels."""
        mean, std = (torch.from_numpy(values).to(logits) for values in self.scale(self.task))
        return logits * std + mean

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the squared error summed over the numbers that are there, in squared standard deviations."""
        mean, std = (torch.from_numpy(values).to(labels) for values in self.scale(self.task))
        logits = at_least_float32(logits)
        target = ((labels.reshape(logits.shape) - mean) / std).to(logits)
        # Not multiplied by 0: the gradient of a NaN would be NaN.
        there = ~target.isnan()
        return (logits[there] - target[there]).square().sum()

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the squared difference summed over the numbers that have a label, in squared standard deviations.

        See `Head.divergence_sum`.
        """
        there = ~labels.reshape(logits_a.shape).isnan()
        return number_divergence(logits_a[there], logits_b[there])

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the numbers in the unit of the labels, [R, C]: see `Head.label_probabilities`."""
        return self.in_unit(at_least_float32(logits).double())

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the numbers in the shape of the labels, NaN where they have none: see `Head.soft_labels`."""
        return probabilities.reshape(labels.shape).masked_fill(labels.isnan(), torch.nan)

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the squared difference from a teacher's numbers, which have no temperature: see `Head.taught_sum`."""
        return self.loss_sum(logits, labels)

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription:
        """Return that numbers are answered, and their scale."""
        labels = task.labels or ()
        mean, std = (values.tolist() if labels else float(values[0]) for values in cls.scale(task))
        return TaskDescription(task.name, task.type, "sequence", "none", labels, mean=mean, std=std, answers="numbers")

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the number of each row, or a list of C, in the labels' own unit."""
        values = NumberAnswers.values(self.describe(self.task), as_array(logits))
        numbers: list[Any] = (values[:, 0] if self.task.labels is None else values).tolist()
        return numbers


def _each(values: Sequence[float | None] | float | None, count: int) -> list[float | None]:
    """Return a value for each target: one may stand for all."""
    return list(values) if isinstance(values, Sequence) else [values] * count


def _number(value: Any, row: int, remedy: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and MOST_NUMBER < abs(value) != math.inf:
        raise LabelError(
            row,
            f"label {shortened(value)} lies beyond {MOST_NUMBER:g}, too far to compute with. Divide the task's labels "
            "by a fixed number.",
        )
    if not is_number or not abs(value) <= MOST_NUMBER:
        if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+,\d+\s*", value):
            remedy = "Write decimals with a point; a CSV with commas is loaded with decimal=','."
        raise LabelError(row, f"label {shortened(value)} is not a finite number. {remedy}")
    return float(value)
