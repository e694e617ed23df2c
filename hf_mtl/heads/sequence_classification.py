"""One label, or any number of labels, for a text or a pair of texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hf_mtl.configuration import TaskConfig, default_metrics
from hf_mtl.heads._balanced import learn_class_weights, learn_pos_weight
from hf_mtl.heads._divergence import class_divergence, label_divergence
from hf_mtl.heads._labels import LabelError, label_index, shortened
from hf_mtl.heads._numerics import as_array, at_least_float32, cross_entropy_sum, weight_tensor
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._soft_labels import class_target, class_tensor, has_class, likeliest, numbers_by_label, tempered
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, sigmoid
from hf_mtl_light.words import WordMap

__all__ = ["SequenceClassificationHead", "own_thresholds"]


class SequenceClassificationHead(SequenceHead):
    r"""Classify a text, or a pair of texts.

    Single label: cross-entropy :math:`-w_y \log p_y`, with the ``class_weights`` w. Multi-label (the type
    ``multi-label-classification``, or ``problem_type="multi_label_classification"``): with the scores
    :math:`p_c = \sigma(z_c)` and ``pos_weight`` w the mean over labels

    .. math:: \frac1C \sum_c - w_c y_c \log p_c - (1 - y_c) \log (1 - p_c)

    A label may be a distribution over the task's labels, q, whose loss is the expectation :math:`-\sum_c w_c q_c \log
    p_c`; of a multi-label task the probability of each label in the place of y. Metrics compare with the likeliest
    label; multi-label: with those of at least 0.5.

    Answers: ``{"label", "score"}``; multi-label: a list of those whose score is at least their threshold
    (``TaskConfig.thresholds``, 0.5 if it has none), best first. With ``top_k``: a list of so many, best first.
    """

    learns_from_labels = True
    lesson_kind = "class"

    @classmethod
    def is_multi_label(cls, task: TaskConfig) -> bool:
        """Return whether a text may have any number of the labels."""
        return task.is_multi_label

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return log C; multi-label: log 2, the mean over labels that are each there or not."""
        return math.log(2) if cls.is_multi_label(task) else super().loss_of_guessing(task)

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return accuracy and F1; multi-label: F1 over labels."""
        return default_metrics(task, "sequence-classification")

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with the weights that are to be balanced."""
        if cls.is_multi_label(task):
            return learn_pos_weight(task, (cls._multi_hot(task, value, row) for row, value in enumerate(values)))
        return learn_class_weights(task, (class_target(task, value, row) for row, value in enumerate(values)))

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> str:
        """Return the task's own problem type."""
        return task.problem_type or "single_label_classification"

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R] int64 class ids, or [R, C] float32 probabilities where a label is a distribution.

        Multi-label: [R, C] float32, from 0 to 1.
        """
        if cls.is_multi_label(task):
            return torch.tensor([cls._multi_hot(task, value, row) for row, value in enumerate(values)])
        return class_tensor([class_target(task, value, row) for row, value in enumerate(values)], task.num_labels)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> Any:
        """Return the class id; multi-label: a list of C zeros and ones."""
        if cls.is_multi_label(task):
            return [int(x >= 0.5) for x in cls._multi_hot(task, value, 0)]
        return likeliest(class_target(task, value, 0))

    @classmethod
    def has_label(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return which of R texts have a label, [R]."""
        return has_class(labels, cls.no_label)

    @classmethod
    def _multi_hot(cls, task: TaskConfig, value: Any, row: int) -> list[float]:
        """Return for each label whether it holds, 0 or 1, or how probably."""
        if isinstance(value, Mapping):
            return cls._each_probable(task, value, row)
        if isinstance(value, str) or not isinstance(value, Sequence):
            written = " In a cell of text, write it as JSON." if isinstance(value, str) else ""
            raise LabelError(
                row, f"found {shortened(value)}. A multi-label task needs a list of labels, possibly empty.{written}"
            )
        is_numbers = all(isinstance(x, (int, float)) and 0 <= x <= 1 for x in value)
        if value and is_numbers and len(value) != task.num_labels and not {"0", "1"} & {*(task.labels or ())}:
            raise LabelError(
                row,
                f"found {len(value)} numbers. A multi-hot label has a 0 or a 1 for each of the task's "
                f"{task.num_labels} labels, in their order; or the probability of each.",
            )
        if len(value) == task.num_labels and all(isinstance(x, (bool, float)) for x in value):
            return cls._each_probable(task, value, row)
        chosen = {label_index(task, label, row) for label in value}
        return [float(i in chosen) for i in range(task.num_labels)]

    @classmethod
    def _each_probable(cls, task: TaskConfig, value: Any, row: int) -> list[float]:
        """Return the probability of each label by itself.

        Raises:
            LabelError: If one is above 1, as votes are.
        """
        found = numbers_by_label(task, value, row, "probabilities")
        if any(number > 1 for number in found):
            raise LabelError(
                row,
                f"found {shortened(value)}. Each label of a multi-label task has a separate probability, from 0 to "
                "1: divide votes by the number of annotators.",
            )
        return found

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over texts, in nats."""
        if self.is_multi_label(self.task):
            logits = at_least_float32(logits)
            weight = weight_tensor(self.task.pos_weight, logits)
            smoothing = self.task.label_smoothing
            target = labels.to(logits) * (1 - smoothing) + smoothing / 2
            loss = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
            return loss.mean(1).sum()
        return cross_entropy_sum(self.task, logits, labels)

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence summed over texts, in nats; multi-label: the mean over labels, each by itself.

        See `Head.divergence_sum`.
        """
        if self.is_multi_label(self.task):
            return label_divergence(logits_a, logits_b)
        return class_divergence(logits_a, logits_b, self.has_label(labels))

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the probability of each label: see `Head.label_probabilities`."""
        logits = at_least_float32(logits)
        return logits.sigmoid() if self.is_multi_label(self.task) else logits.softmax(-1)

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the probabilities themselves, [R, C]: see `Head.soft_labels`."""
        return probabilities

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the cross-entropy with a teacher's answers: see `Head.taught_sum`."""
        soft = tempered(labels, temperature, each=self.is_multi_label(self.task))
        return temperature**2 * self.loss_sum(logits / temperature, soft)

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription:
        """Return that one label is answered, or those above their thresholds."""
        labels = task.labels or ()
        if cls.is_multi_label(task):
            thresholds = own_thresholds(task)
            return TaskDescription(task.name, task.type, "sequence", "sigmoid", labels, thresholds, answers="labels")
        return TaskDescription(task.name, task.type, "sequence", "softmax", labels, answers="label")

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the class id of each row; multi-label: C zeros and ones, as the thresholds decide."""
        if self.is_multi_label(self.task):
            flags: list[Any] = (self.scores(logits) >= np.array(own_thresholds(self.task))).astype(int).tolist()
            return flags
        ids: list[Any] = logits.argmax(-1).tolist()
        return ids

    def scores(self, logits: torch.Tensor) -> np.ndarray:
        """Return the scores of a multi-label task's labels, [R, C], the same numbers as in answers."""
        return sigmoid(calibrated(as_array(logits), self.task.calibration_temperature or 1.0))


def own_thresholds(task: TaskConfig) -> list[float]:
    """Return the score from which a multi-label task names each label if nothing else is asked for."""
    given = 0.5 if task.thresholds is None else task.thresholds
    return [float(value) for value in given] if isinstance(given, Sequence) else [float(given)] * task.num_labels
