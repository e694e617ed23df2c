"""One number for a text or a pair of texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from hf_mtl.configuration import TaskConfig
from hf_mtl.heads._answers import AnswerOptions
from hf_mtl.heads._base import LabelError, SequenceHead
from hf_mtl.heads._numerics import at_least_float32
from hf_mtl.words import WordMap

__all__ = ["RegressionHead"]


class RegressionHead(SequenceHead):
    r"""Predict one number :math:`y` from a text.

    The head learns :math:`z = (y - \mu) / \sigma` by squared error, where :math:`\mu` and :math:`\sigma` are the
    mean and the standard deviation of the training labels (``TaskConfig.target_mean`` and ``target_std``), so that
    the task's loss starts near 1 whatever its unit. Answers are in the labels' own unit.

    Answers: ``{"value"}``.
    """

    learns_from_labels = True
    is_regression = True
    takes_labels = False

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the task has no labels, class weights or smoothing."""
        cls.options(task)
        if task.labels or task.class_weights or task.label_smoothing:
            raise ValueError(
                f"Task {task.name!r}: regression has no labels, class_weights or label_smoothing. Leave them out, or "
                "use the type 'sequence-classification'."
            )

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return 1: the squared error of the mean, in squared standard deviations."""
        return 1.0

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the two correlations and the mean absolute error."""
        return ("pearson", "spearman", "mean_absolute_error"), "pearson"

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> str:
        """Return regression."""
        return "regression"

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with the mean and the standard deviation of its training labels, unless it has them."""
        if task.target_mean is not None and task.target_std is not None:
            return task
        numbers = torch.tensor([cls._number(value, row) for row, value in enumerate(values)], dtype=torch.float64)
        mean = float(numbers.mean()) if len(numbers) else 0.0
        std = float(numbers.std(correction=0)) if len(numbers) else 1.0
        return dataclasses.replace(
            task,
            target_mean=mean if task.target_mean is None else task.target_mean,
            target_std=(std or 1.0) if task.target_std is None else task.target_std,
        )

    @staticmethod
    def _number(value: Any, row: int) -> float:
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise LabelError(row, f"label {value!r} is not a finite number. Regression needs one number a row.")
        return float(value)

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return the labels as they are, [R] float64: `loss_sum` standardises them."""
        return torch.tensor([cls._number(value, row) for row, value in enumerate(values)], dtype=torch.float64)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> float:
        """Return the label as a float."""
        return cls._number(value, 0)

    @staticmethod
    def scale(task: TaskConfig) -> tuple[float, float]:
        """Return the mean and the standard deviation of the labels, (0, 1) until they are learned."""
        return task.target_mean or 0.0, task.target_std or 1.0

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the squared error summed over texts, in squared standard deviations."""
        mean, std = self.scale(self.task)
        logits = at_least_float32(logits[:, 0])
        target = ((labels - mean) / std).to(logits)
        return (logits - target).square().sum()

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the number of each row, in the labels' own unit."""
        mean, std = self.scale(self.task)
        values: list[Any] = (logits[:, 0].double() * std + mean).tolist()
        return values

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return ``{"value"}`` a row."""
        mean, std = cls.scale(task)
        return [{"value": value} for value in (logits[:, 0].astype(np.float64) * std + mean).tolist()]

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return a number under ``value``."""
        return {"value": float}
