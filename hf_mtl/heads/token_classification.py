"""A tag for each word of a text: named entities, slots, parts of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads._aggregation import aggregate
from hf_mtl.heads._answers import AnswerOptions, softmax
from hf_mtl.heads._base import Head, LabelError, label_index
from hf_mtl.heads._entities import SCHEMES, entities, infer_scheme, inside_tag
from hf_mtl.heads._numerics import cross_entropy_sum
from hf_mtl.states import States
from hf_mtl.words import WordMap

__all__ = ["TokenClassificationHead", "TokenClassificationOptions"]

IGNORED = -100  # torch's own mark of a position without a label
#: The answer for a word without a sub-word, which has no logits: outside of every entity. Of plain tags no label is
#: named so, and metrics count it as wrong.
NO_ANSWER = "O"


@dataclass(frozen=True)
class TokenClassificationOptions:
    """Options of a tagging task.

    Args:
        scheme: ``"IOB1"``, ``"IOB2"``, ``"IOBES"``, or ``"plain"`` for tags that form no entities; ``None`` infers it
            from the labels.
        label_all_tokens: Whether every sub-word of a word is trained, with the inside tag behind the first; else
            only the first is.

    Raises:
        ValueError: If the scheme is unknown.
    """

    scheme: str | None = None
    label_all_tokens: bool = False

    def __post_init__(self) -> None:
        if self.scheme is not None and self.scheme not in SCHEMES:
            raise ValueError(
                f"option scheme must be one of {listed(SCHEMES)}, found {self.scheme!r}.{nearest(self.scheme, SCHEMES)}"
            )


class TokenClassificationHead(Head):
    """Tag each word of a text by its first sub-word.

    Words without a sub-word (truncated, or dropped by the tokenizer) train nothing and are answered ``O``; metrics
    count them.

    Answers: the entities with their character offsets, or for plain tags one ``{"entity", "score", "word", "start",
    "end"}`` a word.
    """

    level = "token"
    Options = TokenClassificationOptions

    @classmethod
    def scheme(cls, task: TaskConfig) -> str:
        """Return the tag scheme, given or inferred from the labels."""
        return cls.options(task).scheme or infer_scheme(task.labels or ())

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the labels follow the scheme."""
        super().check(task)
        if task.problem_type is not None or task.pooling is not None:
            raise ValueError(f"Task {task.name!r}: token-classification takes no problem_type and no pooling.")
        scheme = cls.scheme(task)
        for label in task.labels or ():
            if scheme != "plain" and label != "O" and not (label[0] in SCHEMES[scheme] and label[1:2] == "-"):
                raise ValueError(
                    f"Task {task.name!r}: label {label!r} is not a tag of {scheme}, whose tags are 'O' and a prefix of "
                    f"{listed(f'{p}-' for p in sorted(SCHEMES[scheme]))} before a type. "
                    "Mend the label, or set the option scheme to 'plain'."
                )

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return entity F1; for plain tags the accuracy."""
        return (("tag_accuracy",), "accuracy") if cls.scheme(task) == "plain" else (("seqeval",), "f1")

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Return nothing: stock token classification knows one problem."""
        return

    @classmethod
    def _tag_ids(cls, task: TaskConfig, tags: Any, words: int, row: int) -> list[int | None]:
        if isinstance(tags, str) or not isinstance(tags, Sequence):
            raise LabelError(row, f"found {tags!r}. Token classification needs a list with one tag per token.")
        if len(tags) != words:
            raise LabelError(row, f"{len(tags)} tags for {words} tokens. Token classification needs one tag per token.")
        return [None if tag is None else label_index(task, tag, row) for tag in tags]

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, L] int64 tag ids, -100 at positions that train nothing."""
        every = cls.options(task).label_all_tokens
        labels = task.labels or ()
        inside = [labels.index(inside_tag(label, labels)) for label in labels]
        rows = []
        for row, (tags, word_map) in enumerate(zip(values, words, strict=True)):
            ids = cls._tag_ids(task, tags, len(word_map.spans), row)
            encoded, previous = [], None
            for word in word_map.word_ids:
                tag = None if word is None else ids[word]
                if tag is None or (word == previous and not every):
                    encoded.append(IGNORED)
                else:
                    encoded.append(inside[tag] if word == previous else tag)
                previous = word
            rows.append(encoded)
        return torch.tensor(rows)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> list[str | None]:
        """Return the tag names of the words, null where a word has none."""
        labels = task.labels or ()
        return [None if i is None else labels[i] for i in cls._tag_ids(task, value, len(value), 0)]

    @staticmethod
    def count_items(labels: torch.Tensor) -> torch.Tensor:
        """Return the number of labelled tokens."""
        return labels.ne(IGNORED).sum()

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [n, C] of n tokens."""
        # The stock layers act on each token by itself, so the flat tokens may stand as one text.
        mask = states.values.new_ones(1, states.values.shape[0], dtype=torch.long)
        logits: torch.Tensor = self.classifier(states.values[None], mask)[0]
        return logits

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over labelled tokens, in nats."""
        return cross_entropy_sum(self.task, logits, labels)

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the tag names of each row's words."""
        labels = self.task.labels or ()
        rows = []
        for ids, word_map in zip(logits.argmax(-1).tolist(), words, strict=True):
            rows.append([NO_ANSWER if token is None else labels[ids[token]] for token in word_map.first_tokens()])
        return rows

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the entities of each row, or its tagged words if the tags are plain; see `AnswerOptions`."""
        labels = task.labels or ()
        probabilities = softmax(logits)
        stops = np.cumsum([len(word_map.word_ids) for word_map in words]).tolist()
        starts = [0, *stops[:-1]]
        if options is not None and options.aggregation_strategy is not None:
            parts = (probabilities[start:stop] for start, stop in zip(starts, stops, strict=True))
            return [aggregate(word_map, part, labels, options) for word_map, part in zip(words, parts, strict=True)]
        is_plain = cls.scheme(task) == "plain"
        # One conversion a batch: numpy's numbers are slow to take one by one.
        ids, scores = probabilities.argmax(-1).tolist(), probabilities.max(-1).tolist()
        rows = []
        for start, word_map in zip(starts, words, strict=True):
            first = word_map.first_tokens()
            tags = [NO_ANSWER if token is None else labels[ids[start + token]] for token in first]
            sure = [0.0 if token is None else scores[start + token] for token in first]
            rows.append(_tagged_words(word_map, tags, sure) if is_plain else entities(word_map, tags, sure))
        return rows

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return a list of entities, or of tagged words or tokens."""
        strategy = None if options is None else options.aggregation_strategy
        place = {"word": str, "start": int, "end": int}
        if strategy == "none":
            return [{"entity": str, "score": float, "index": int, **place}]
        is_plain = strategy is None and cls.scheme(task) == "plain"
        return [{"entity" if is_plain else "entity_group": str, "score": float, **place}]


def _tagged_words(words: WordMap, tags: Sequence[str], scores: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {"entity": tag, "score": score, "word": words.text[start:end], "start": start, "end": end}
        for tag, score, (start, end) in zip(tags, scores, words.spans, strict=True)
    ]
