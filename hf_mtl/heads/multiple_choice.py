"""One of some texts that a row brings along: the right answer, ending or candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from hf_mtl._names import listed
from hf_mtl.configuration import ANSWER_PHRASES, TaskConfig, default_metrics
from hf_mtl.heads._divergence import group_divergence, group_softmax
from hf_mtl.heads._labels import LabelError, LabelledRow, shortened
from hf_mtl.heads._numerics import at_least_float32, log_sum_exp
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._soft_labels import likeliest, tempered_groups
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.errors import UserError
from hf_mtl_light.numerics import softmax
from hf_mtl_light.words import WordMap

__all__ = ["MultipleChoiceHead"]

#: Choices of a row for `loss_of_guessing`, which the task does not know.
_TYPICAL_CHOICES = 4


class MultipleChoiceHead(SequenceHead):
    r"""Choose one of a row's ``choices``, of which it has two or more, each row its own number.

    Each choice is read with the row's text and gets one logit :math:`z`; the loss of a row is
    :math:`-\log p_y` with :math:`p = \mathrm{softmax}(z)` over its choices; of a label with probabilities its
    expectation.

    Labels: the number of the right choice, from 0, or its text; or a list with each choice's probability or votes. A
    ``ClassLabel`` counts by its number; -1 is none.

    Answers: ``{"choice", "index", "score"}``; with ``top_k`` a list of so many, best first.
    """

    reads = "choices"
    lesson_kind = "choices"
    stock_kind = "choice"
    beyond_graphs = "each choice is a separate row, which OnnxPredictor does not make"
    takes_labels = False
    hub_task = "multiple-choice"
    answer_phrase = ANSWER_PHRASES["multiple-choice"]
    example_columns: ClassVar[Mapping[str, Any]] = {"choices": ["A table is booked.", "A film is watched."]}
    names_classes = False

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the task has nothing that weighs or lists labels."""
        cls.options(task)
        if task.labels or task.class_weights or task.label_smoothing or task.problem_type:
            raise UserError(
                f"Task {task.name!r}: {task.type} takes no labels, class_weights, label_smoothing or problem_type: its "
                "answers are the choices of each row. Leave them out."
            )

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return the loss for four choices, as the number is not the task's own."""
        return math.log(_TYPICAL_CHOICES)

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the accuracy."""
        return default_metrics(task, "multiple-choice")

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Return nothing: stock multiple choice knows one problem."""
        return

    @classmethod
    def read_label(cls, task: TaskConfig, value: Any, row: LabelledRow) -> int | list[float] | None:
        """Return the number of the right choice, or the probability of each; ``None``, no label, for -1.

        Raises:
            LabelError: If there is no such choice, the row has less than two, or the list is no distribution over them.
        """
        if isinstance(value, int) and value == -1:
            return None
        return _target(value, row.choices or (), 0)

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, 2] int64 for the R choices of all rows: the number of their row here, and 1 for the right one.

        Where a row has probabilities, float64 with these in the second column.
        """
        rows: list[list[float]] = []
        for row, (value, word_map) in enumerate(zip(values, words, strict=True)):
            right = _target(value, word_map.choices, row)
            shares = right if isinstance(right, list) else [int(i == right) for i in range(len(word_map.choices))]
            rows += [[row, share] for share in shares]
        is_soft = any(isinstance(share, float) for _, share in rows)
        return torch.tensor(rows, dtype=torch.float64 if is_soft else torch.int64)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> int:
        """Return the number of the right choice; of probabilities that of the likeliest, the first of several."""
        if isinstance(value, list):
            return likeliest(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise LabelError(0, f"label {value!r} is not the number of a choice.")
        return value

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of rows that choose: the shares of each have the sum 1."""
        return labels[:, 1].sum().round().long()

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy over each row's choices, summed over rows, in nats."""
        logits, (groups, shares) = at_least_float32(logits), labels.unbind(1)
        right = logits[:, 0] * shares if labels.is_floating_point() else logits[shares.bool()]
        return log_sum_exp(logits, groups.long()).sum() - right.sum()

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence over each row's choices, summed over rows, in nats: see `Head.divergence_sum`."""
        return group_divergence(logits_a, logits_b, labels[:, 0].long())

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the probability of each choice among those of its row, [R, 1]: see `Head.label_probabilities`."""
        assert labels is not None
        return group_softmax(logits, labels[:, 0].long())

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the row and the probability of each choice, [R, 2]: see `Head.soft_labels`."""
        return torch.cat([labels[:, :1].double(), probabilities.double()], 1)

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the loss of a teacher's probabilities: see `Head.taught_sum`."""
        tempered = tempered_groups(labels[:, 1:], labels[:, 0].long(), temperature)
        return temperature**2 * self.loss_sum(logits / temperature, torch.cat([labels[:, :1], tempered], 1))

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the number of each row's likeliest choice."""
        by_row = logits[:, 0].split([len(word_map.choices) for word_map in words])
        return [int(own.argmax()) for own in by_row]

    @classmethod
    def answer_options(cls, task: TaskConfig) -> frozenset[str]:
        """Return ``top_k``."""
        return frozenset({"top_k"})

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return ``{"choice", "index", "score"}`` a row, of logits [R, 1] of all their choices; or a list of them."""
        top_k = None if options is None else options.top_k
        ends = np.cumsum([len(word_map.choices) for word_map in words])[:-1]
        found: list[Any] = []
        for word_map, own in zip(words, np.split(logits[:, 0], ends), strict=True):
            scores = softmax(own).tolist()
            order = sorted(range(len(scores)), key=lambda i: -scores[i])
            best = [{"choice": word_map.choices[i], "index": i, "score": scores[i]} for i in order]
            found.append(best[0] if top_k is None else best if top_k == "all" else best[:top_k])
        return found

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return the text of a choice, its number and its probability; or a list of them."""
        fields = {"choice": str, "index": int, "score": float}
        return [fields] if options is not None and options.top_k is not None else fields


def _target(value: Any, choices: Sequence[str], row: int) -> int | list[float]:
    """Return the number of the right choice, or the probability of each.

    Raises:
        LabelError: If there is no such choice, or the list is no distribution over the choices.
    """
    if not isinstance(value, (list, tuple)):
        return _number(value, choices, row)
    is_number = [isinstance(item, (int, float)) and not isinstance(item, bool) for item in value]
    shares = [float(item) for item in value] if all(is_number) else []
    total = sum(shares)
    if len(shares) != len(choices) or not all(share >= 0 for share in shares) or not 0 < total < math.inf:
        raise LabelError(
            row,
            f"label {shortened(list(value))} for {len(choices)} choices. Give the number of the right one, or a list "
            "with a probability or votes for each: finite numbers of at least 0, one of them above.",
        )
    return [share / total for share in shares]


def _number(value: Any, choices: Sequence[str], row: int) -> int:
    """Return the number of the right choice.

    Raises:
        LabelError: If there is no such choice, or it is not the only one of that text.
    """
    if len(choices) < 2:
        raise LabelError(
            row, f"found {len(choices)} choices. Multiple choice needs at least 2 in the column 'choices'."
        )
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return value
    if isinstance(value, str) and list(choices).count(value) == 1:
        return list(choices).index(value)
    shown = listed([choice[:40] for choice in choices])
    raise LabelError(
        row,
        f"label {value!r} is none of the {len(choices)} choices: {shown}. Give the number of the right one, from 0, or "
        "its text, which must occur once. Cast numbers that are stored as texts to integers.",
    )
