"""Sentiment: labels on a scale, from most negative to most positive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedConfig

from hf_mtl.configuration import TaskConfig, default_metrics
from hf_mtl.heads._balanced import learn_class_weights
from hf_mtl.heads._divergence import class_divergence
from hf_mtl.heads._numerics import at_least_float32, cross_entropy_sum
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._soft_labels import class_target, class_tensor, has_class, likeliest, tempered
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap

__all__ = ["SentimentHead", "SentimentOptions"]


@dataclass(frozen=True)
class SentimentOptions:
    """Options of a sentiment task.

    Args:
        loss: ``"cross_entropy"`` treats the labels as unrelated classes; ``"ordinal"`` puts them on one scale.

    Raises:
        ValueError: If ``loss`` is neither.
    """

    loss: Literal["cross_entropy", "ordinal"] = "cross_entropy"

    def __post_init__(self) -> None:
        if self.loss not in ("cross_entropy", "ordinal"):
            raise UserError(f"option loss must be 'cross_entropy' or 'ordinal', found {self.loss!r}.")


class SentimentHead(SequenceHead):
    r"""Place a text on a scale of two or more ordered labels.

    With ``loss="ordinal"`` the model is the proportional odds model: one score :math:`f` a text and increasing
    thresholds :math:`\theta_1 < \dots < \theta_{C-1}`, with

    .. math:: P(y \le k) = \sigma(\theta_k - f).

    Its logits are the logarithms of the class probabilities, so both losses are the cross-entropy of
    ``softmax(logits)``. A label may be a distribution over the places; metrics compare with the likeliest.

    Answers: ``label``, ``score`` of that label, ``scores`` of all labels, and ``polarity`` in [-1, 1]: the expected
    position on the scale, where -1 is the first label and 1 the last.

    Source: P. McCullagh, Regression Models for Ordinal Data, J. R. Stat. Soc. B 42(2), 1980, section 2.
    """

    Options = SentimentOptions
    learns_from_labels = True
    lesson_kind = "class"
    labels_phrase = "one of, from most negative:"

    def __init__(self, task: TaskConfig, encoder_config: PreTrainedConfig) -> None:
        super().__init__(task, encoder_config)
        # The first threshold, then the logarithm-like gaps between neighbours (softplus keeps them positive).
        self.thresholds: nn.Parameter | None = None
        if self.is_ordinal(task):
            self.thresholds = nn.Parameter(self._spread(task.num_labels))

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that a text has one label.

        Raises:
            ValueError: If it is to have any number of them.
        """
        super().check(task)
        if task.is_multi_label:
            raise UserError(
                f"Task {task.name!r}: a text has one place on a sentiment's scale, so problem_type "
                f"{task.problem_type!r} makes no sense. Leave it out, or use the type 'multi-label-classification'."
            )

    @staticmethod
    def _spread(num_labels: int) -> torch.Tensor:
        """Return parameters whose thresholds give every label the same probability at score 0."""
        positions = torch.arange(1, num_labels, dtype=torch.float64) / num_labels
        thresholds = torch.logit(positions)
        gaps = thresholds.diff()
        return torch.cat([thresholds[:1], gaps.expm1().log()]).to(torch.get_default_dtype())

    def reset_parameters(self) -> None:
        """Set the thresholds so that every label is equally likely at score 0."""
        if self.thresholds is not None:
            with torch.no_grad():
                self.thresholds.copy_(self._spread(self.task.num_labels))

    @classmethod
    def is_ordinal(cls, task: TaskConfig) -> bool:
        """Return whether the labels share one score."""
        return bool(cls.options(task).loss == "ordinal")

    @classmethod
    def num_outputs(cls, task: TaskConfig) -> int:
        """Return C, or 1 for the ordinal loss."""
        return 1 if cls.is_ordinal(task) else task.num_labels

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return accuracy, F1 and the kappa that punishes distant mistakes more."""
        return default_metrics(task, "sentiment")

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with the weights that are to be balanced."""
        return learn_class_weights(task, (class_target(task, value, row) for row, value in enumerate(values)))

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> str:
        """Return single-label classification.

        Raises:
            ValueError: For the ordinal loss, whose one score and thresholds no stock class has.
        """
        if cls.is_ordinal(task):
            raise UserError(
                f"Task {task.name!r}: no stock Transformers class has the thresholds of loss='ordinal'. Train the task "
                "with the option loss left out (cross_entropy), or export to ONNX, which takes it."
            )
        return "single_label_classification"

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R] int64 positions on the scale, or [R, C] float32 probabilities where a label is a distribution."""
        return class_tensor([class_target(task, value, row) for row, value in enumerate(values)], task.num_labels)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> int:
        """Return the position on the scale, 0 the most negative; of a distribution the likeliest."""
        return likeliest(class_target(task, value, 0))

    @classmethod
    def has_label(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return which of R texts have a label, [R]."""
        return has_class(labels, cls.no_label)

    def logits_of(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the logits [R, C] of R texts; of their scores [R, 1] log-probabilities for the ordinal loss."""
        if self.thresholds is None:
            return outputs
        score, parameters = at_least_float32(outputs), at_least_float32(self.thresholds)
        thresholds = torch.cat([parameters[:1], functional.softplus(parameters[1:])]).cumsum(0)
        upper = thresholds - score  # [R, C - 1]: log-odds of lying at or below each threshold
        first, last = functional.logsigmoid(upper[:, :1]), functional.logsigmoid(-upper[:, -1:])
        low, high = upper[:, :-1], upper[:, 1:]
        # sigma(high) - sigma(low) = sigma(high) * sigma(-low) * (1 - exp(low - high)), without cancellation
        between = functional.logsigmoid(high) + functional.logsigmoid(-low) + torch.log(-torch.expm1(low - high))
        return torch.cat([first, between, last], dim=1)

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over texts, in nats."""
        return cross_entropy_sum(self.task, logits, labels)

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence over the places on the scale, summed over texts, in nats.

        See `Head.divergence_sum`.
        """
        return class_divergence(logits_a, logits_b, self.has_label(labels))

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the probability of each place: see `Head.label_probabilities`."""
        return at_least_float32(logits).softmax(-1)

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the probabilities themselves, [R, C]: see `Head.soft_labels`."""
        return probabilities

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the cross-entropy with a teacher's answers: see `Head.taught_sum`."""
        return temperature**2 * self.loss_sum(logits / temperature, tempered(labels, temperature))

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription:
        """Return that a place on the scale is answered."""
        return TaskDescription(task.name, task.type, "sequence", "softmax", task.labels or (), answers="scale")

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the position of the likeliest label of each row."""
        ids: list[Any] = logits.argmax(-1).tolist()
        return ids
