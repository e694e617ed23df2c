"""The span of a context that answers a question."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from hf_mtl.configuration import ANSWER_PHRASES, TaskConfig, default_metrics
from hf_mtl.heads._divergence import group_divergence, group_softmax
from hf_mtl.heads._labels import LabelError, LabelledRow
from hf_mtl.heads._numerics import at_least_float32, log_sum_exp
from hf_mtl.heads._soft_labels import tempered_groups
from hf_mtl.heads._spans import MOST_ANSWERS, best_spans, spread
from hf_mtl.heads._token_head import TokenHead
from hf_mtl_light.answering import AnswerOptions
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap

__all__ = ["QuestionAnsweringHead", "QuestionAnsweringOptions"]

#: What a token's label is the sum of: the answer begins there, it ends there, a window begins there. 0: it could be.
START, END, FIRST = 1, 2, 4
#: Tokens of a context for `loss_of_guessing`: the loss of guessing is the logarithm of their number.
_TYPICAL_TOKENS = 128


@dataclass(frozen=True)
class QuestionAnsweringOptions:
    """Options of a question-answering task.

    Args:
        no_answer: Whether a context may have no answer to its question; ``None``: whether a training row has none.
        max_answer_tokens: The most tokens of an answer, at least 1.
        null_threshold: How much more likely than the best span, in nats, "no answer" must be to be answered.
        train_windows: The most windows of a long context that a row trains on, at least 1: the one that holds its
            answer best, and others evenly over the context.

    Raises:
        ValueError: If a value is out of its range.
    """

    no_answer: bool | None = None
    max_answer_tokens: int = 30
    null_threshold: float = 0.0
    train_windows: int = 4

    def __post_init__(self) -> None:
        if self.no_answer is not None and not isinstance(self.no_answer, bool):
            raise UserError(f"option no_answer must be true, false or null, found {self.no_answer!r}.")
        for name in ("max_answer_tokens", "train_windows"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"option {name} must be a whole number of at least 1, found {value!r}.")
        value = self.null_threshold
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise UserError(f"option null_threshold must be a number, found {value!r}.")


class QuestionAnsweringHead(TokenHead):
    r"""Find the span of a context (``text_pair``) that answers a question (``text``).

    Each token has the logits :math:`s` of being the answer's first and :math:`e` of being its last. In training the
    softmax runs over the tokens of the context and the row's first position, which stands for "no answer":

    .. math:: \ell = -\tfrac12 \Bigl(\log\frac{e^{s_a}}{\sum_i e^{s_i}} + \log\frac{e^{e_b}}{\sum_i e^{e_i}}\Bigr)

    A context that is too long is read in windows, each with the whole question; each is an item of the loss, and of one
    without the answer the right span is the first position. An answer is the span from i to j with the largest
    :math:`s_i + e_j` in a window, of at most ``max_answer_tokens``; no answer has the least :math:`s_0 + e_0` of all
    windows. Scores are the softmax of these sums over all spans (and no answer, where there may be none).

    Labels: ``{"text": [...], "answer_start": [...]}`` as in SQuAD, or a list of such pairs; empty: no answer. Training
    takes the first, metrics all.

    Answers: ``{"answer", "score", "start", "end"}`` with character offsets in the context; ``""``, 0 and 0 for none.
    With ``top_k``: a list, best first; ``"all"`` gives 20.

    Source: J. Devlin et al., BERT, NAACL 2019, sections 4.2 and 4.3.
    """

    reads = "context"
    lesson_kind = "spans"
    stock_kind = "span"
    beyond_graphs = "answers are spans over all windows of a context, which OnnxPredictor does not cut"
    takes_labels = False
    hub_task = "question-answering"
    answer_phrase = ANSWER_PHRASES["question-answering"]
    example_columns: ClassVar[Mapping[str, Any]] = {"text_pair": "Nopi is a restaurant in London."}
    learns_from_labels = True
    Options: ClassVar[type] = QuestionAnsweringOptions

    # What the task is

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the task has nothing that weighs or lists labels."""
        cls.options(task)
        if task.labels or task.class_weights or task.label_smoothing or task.problem_type or task.pooling:
            raise UserError(
                f"Task {task.name!r}: {task.type} takes no labels, class_weights, label_smoothing, problem_type or "
                "pooling: its answers are spans of the context. Leave them out."
            )

    @classmethod
    def num_outputs(cls, task: TaskConfig) -> int:
        """Return 2: the logits of beginning and ending an answer."""
        return 2

    @classmethod
    def loss_of_guessing(cls, task: TaskConfig) -> float:
        """Return the loss for a context of 128 tokens, as the number is not the task's own."""
        return math.log(_TYPICAL_TOKENS)

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return SQuAD's exact match and F1."""
        return default_metrics(task, "question-answering")

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Return nothing: stock question answering knows one problem."""
        return

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with ``no_answer``, if it is not given: whether a training row has no answer."""
        if cls.options(task).no_answer is not None:
            return task
        found = any(not _pairs(value, row) for row, value in enumerate(values))
        return dataclasses.replace(task, options={**task.options, "no_answer": found})

    # Labels

    @classmethod
    def read_label(cls, task: TaskConfig, value: Any, row: LabelledRow) -> dict[str, list[Any]]:
        """Return SQuAD's struct of lists.

        Raises:
            LabelError: If an answer is not in the context where the label says.
        """
        context = row.text_pair or ""
        pairs = _pairs(value, 0)
        for text, start in pairs:
            if context[start : start + len(text)] != text or start < 0:
                place = context.find(text)
                hint = f" It is at {place}." if place >= 0 else " It is nowhere in it."
                raise LabelError(
                    0,
                    f"answer {text!r} has the answer_start {start}, where the context has "
                    f"{context[max(start, 0) : max(start, 0) + len(text)]!r}.{hint} Count characters of 'text_pair' "
                    "from 0, or empty both lists if it holds no answer.",
                )
        return {"text": [text for text, _ in pairs], "answer_start": [start for _, start in pairs]}

    @classmethod
    def windows_to_train(cls, task: TaskConfig, value: Any, windows: Sequence[tuple[int, int]]) -> Sequence[int]:
        """Return at most ``train_windows``: the one that holds the answer farthest from its ends, and others."""
        most = cls.options(task).train_windows
        if len(windows) <= most:
            return range(len(windows))
        best: list[int] = []
        for text, start in _pairs(value, 0)[:1]:
            room = [min(start - first, stop - start - len(text)) for first, stop in windows]
            best = [max(range(len(windows)), key=room.__getitem__)]
        rest = [i for i in range(len(windows)) if i not in best]
        return sorted([*best, *(rest[i] for i in spread(most - len(best), len(rest)))])

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, L] int64 for R windows: sums of 1, 2 and 4 where an answer or window begins or ends.

        1: the answer begins at the token; 2: it ends there; 4: the window begins there. 0 is at other tokens of the
        context; `no_label`, -100, at those of the question, special tokens and padding.
        """
        rows = []
        for row, (value, word_map) in enumerate(zip(values, words, strict=True)):
            span = None
            for text, start in _pairs(value, row)[:1]:
                span = _tokens_of(word_map, start, start + len(text))
            for window in _windows(word_map):
                encoded = [cls.no_label if token is None else 0 for token in window]
                encoded[0] = FIRST
                # An answer that is cut off is none in this window.
                places = [window.index(token) if token in window else 0 for token in span or ()]
                start, end = places if len(places) == 2 and all(places) else (0, 0)
                encoded[start] += START
                encoded[end] += END
                rows.append(encoded)
        return torch.tensor(rows)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> list[str]:
        """Return the texts that are right; none where there is no answer."""
        return [text for text, _ in _pairs(value, 0)]

    @classmethod
    def count_items(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return the number of windows."""
        return _marks(labels)[1].sum()

    # The module

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean of the two cross-entropies, summed over windows, in nats."""
        asked, window = _asked(labels)
        logits, labels = at_least_float32(logits[asked]), labels[asked]
        partition = log_sum_exp(logits, window)
        if labels.is_floating_point():
            return (partition.sum() - (logits * labels[:, :2]).sum()) / 2
        is_start, is_end = labels.bitwise_and(START).bool(), labels.bitwise_and(END).bool()
        return (partition.sum() - logits[is_start, 0].sum() - logits[is_end, 1].sum()) / 2

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean divergence of where answers begin and end, summed over windows, in nats.

        See `Head.divergence_sum`.
        """
        asked, window = _asked(labels)
        return group_divergence(logits_a[asked], logits_b[asked], window) / 2

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return each token's probability of beginning and of ending its window's answer: see the base class.

        It is 0 at tokens where no answer may.
        """
        assert labels is not None
        flat = at_least_float32(logits).flatten(0, 1)
        asked, window = _asked(labels.flatten(0, 1))
        return torch.zeros_like(flat).index_copy(0, asked, group_softmax(flat[asked], window)).view_as(logits)

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the two probabilities of each token and a 1 where its window begins, [R, L, 3]: see `_asked`."""
        is_asked, begins = _marks(labels)
        both = torch.cat([probabilities, begins[..., None].to(probabilities)], -1)
        return both.masked_fill(~is_asked[..., None], cls.no_label)

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the loss of a teacher's probabilities: see `Head.taught_sum`."""
        asked, window = _asked(labels)
        both = tempered_groups(labels[asked, :2], window, temperature)
        tempered = labels.index_put((asked,), torch.cat([both, labels[asked, 2:]], -1))
        return temperature**2 * self.loss_sum(logits / temperature, tempered)

    # Answers

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the text of each row's answer, of the logits [R, L, 2] of all windows of the rows."""
        flat = logits.flatten(0, 1).float().cpu().numpy()
        return [answer["answer"] for answer in self.answers(self.task, flat, words)]

    @classmethod
    def answer_options(cls, task: TaskConfig) -> frozenset[str]:
        """Return ``top_k``."""
        return frozenset({"top_k"})

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return ``{"answer", "score", "start", "end"}`` a row; with ``top_k`` a list of them, best first."""
        own = cls.options(task)
        top_k = None if options is None else options.top_k
        count = 1 if top_k is None else MOST_ANSWERS if top_k == "all" else int(top_k)
        stops = np.cumsum([len(word_map.word_ids) for word_map in words]).tolist()
        found = []
        for word_map, start, stop in zip(words, [0, *stops[:-1]], stops, strict=True):
            threshold = own.null_threshold if own.no_answer else None
            best = best_spans(logits[start:stop], word_map, own.max_answer_tokens, threshold, count)
            found.append(best if top_k is not None else best[0])
        return found

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return the text, its probability and its place; or a list of them."""
        fields = {"answer": str, "score": float, "start": int, "end": int}
        return [fields] if options is not None and options.top_k is not None else fields


def _asked(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which tokens an answer may begin or end at, [m] int64, and the window of each, [m] int64.

    Args:
        labels: [n] int64 or [n, 3], as `QuestionAnsweringHead.encode_labels` and `soft_labels` make them.
    """
    is_asked, begins = _marks(labels)
    asked = is_asked.nonzero()[:, 0]
    return asked, begins[asked].cumsum(0) - 1


def _marks(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which tokens have a label and which begin a window, bool [*], of labels [*] or of probabilities [*, 3]."""
    if labels.is_floating_point():
        return labels[..., 0].ge(0), labels[..., 2].eq(1)
    return labels.ge(0), labels.ge(FIRST)


def _pairs(value: Any, row: int) -> list[tuple[str, int]]:
    """Return the answers of a label, each with its start.

    Raises:
        LabelError: If the label has another form.
    """
    if isinstance(value, Mapping) and {"text", "answer_start"} <= value.keys():
        texts, starts = value["text"], value["answer_start"]
        listed = [[item] if isinstance(item, (str, int)) else item for item in (texts, starts)]
        if all(isinstance(items, (list, tuple)) for items in listed) and len(listed[0]) == len(listed[1]):
            value = [{"text": t, "answer_start": s} for t, s in zip(*listed, strict=True)]
    if isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value):
        pairs = [(item.get("text"), item.get("answer_start")) for item in value]
        if all(isinstance(t, str) and t and isinstance(s, int) and not isinstance(s, bool) for t, s in pairs):
            return [(str(text), int(start or 0)) for text, start in pairs]
    raise LabelError(
        row,
        f"found {str(value)[:120]!r}. Question answering needs answers as in SQuAD, {{'text': ['...'], 'answer_start': "
        "[12]}: texts that are not empty, and as many whole numbers. Two empty lists mean that there is no answer.",
    )


def _windows(words: WordMap) -> Iterator[Sequence[int | None]]:
    at = 0
    for length in words.windows or (len(words.word_ids),):
        yield words.word_ids[at : at + length]
        at += length


def _tokens_of(words: WordMap, start: int, end: int) -> tuple[int, int] | None:
    """Return the first and the last token of the context that lie in a span of characters; ``None``: it has none."""
    inside = [i for i, (first, stop) in enumerate(words.spans) if first < end and stop > start]
    return (inside[0], inside[-1]) if inside else None
