"""A tag for each word of a text: named entities, slots, parts of speech."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import BALANCED, TaskConfig, default_metrics
from hf_mtl.heads._balanced import learn_class_weights
from hf_mtl.heads._divergence import class_divergence
from hf_mtl.heads._labels import LabelError, label_index
from hf_mtl.heads._numerics import as_array, at_least_float32, cross_entropy_sum
from hf_mtl.heads._soft_labels import ClassTarget, distribution, has_class, is_soft, likeliest, tempered, token_tensor
from hf_mtl.heads._token_head import TokenHead
from hf_mtl_light.answering import TagAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.tags import (
    NO_ANSWER,
    SCHEMES,
    LegalTags,
    TagDecoder,
    WordRuns,
    as_iobes,
    check_tags,
    infer_scheme,
    inside_tag,
    observed_scheme,
)
from hf_mtl_light.words import WordMap

__all__ = ["TaggingOptions", "TokenClassificationHead", "TokenClassificationOptions"]


@dataclass(frozen=True)
class TaggingOptions:
    """Options of every tagging task.

    Args:
        scheme: ``"IOB1"``, ``"IOB2"``, ``"IOBES"``, ``"BILOU"``, or ``"plain"`` for tags that form no entities;
            ``None`` infers it from the labels, and IOB1 or IOB2 from the training rows.
        constrained_decoding: Whether answers and predictions are legal in the scheme, such as no ``I-`` after ``O``
            in IOB2; plain tags have no such rule.

    Raises:
        ValueError: If the scheme is unknown, or a switch neither true nor false.
    """

    scheme: str | None = None
    constrained_decoding: bool = True

    def __post_init__(self) -> None:
        if self.scheme is not None and self.scheme not in SCHEMES:
            raise UserError(
                f"option scheme must be one of {listed(SCHEMES)}, found {self.scheme!r}.{nearest(self.scheme, SCHEMES)}"
            )
        for name, value in vars(self).items():
            if name != "scheme" and not isinstance(value, bool):
                raise UserError(f"option {name} must be true or false, found {value!r}.")


@dataclass(frozen=True)
class TokenClassificationOptions(TaggingOptions):
    """Options of a tagging task.

    Args:
        label_all_tokens: Whether every sub-word of a word is trained, with the inside tag after the first; else
            only the first is. Answers are those of the first either way.

    The others are those of `TaggingOptions`.
    """

    label_all_tokens: bool = False


class TokenClassificationHead(TokenHead):
    """Tag each word of a text by its first sub-word.

    Words without a sub-word (truncated, or dropped by the tokenizer) train nothing and are answered ``O``; metrics
    count them. The other words get the likeliest tags that are legal in the labels' scheme.

    A word's label may be a distribution over the tags; its loss is the expectation, and metrics compare with the
    likeliest tag.

    Answers: the entities with their character offsets, or for plain tags one ``{"entity", "score", "word", "start",
    "end"}`` a word.
    """

    needs_words = True
    lesson_kind = "tags"
    hub_task = "token-classification"
    labels_phrase = "tags"
    Options: ClassVar[type] = TokenClassificationOptions
    learns_from_labels = True

    @classmethod
    def scheme(cls, task: TaskConfig) -> str:
        """Return the tag scheme, given or inferred from the labels."""
        return cls.options(task).scheme or infer_scheme(task.labels or ())

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check that the labels follow the scheme."""
        super().check(task)
        if task.problem_type is not None or task.pooling is not None:
            raise UserError(f"Task {task.name!r}: {task.type} takes no problem_type and no pooling.")
        check_tags(task.name, task.labels or (), cls.options(task).scheme)

    @classmethod
    def learn(cls, task: TaskConfig, values: Iterable[Any]) -> TaskConfig:
        """Return the task with the scheme IOB1 if its training rows are written in it: the labels alone do not say.

        Weights that are to be balanced are learned from the tags of words.
        """
        if task.class_weights == BALANCED:
            kept: list[Any] = []
            task = learn_class_weights(task, cls._noted_tags(task, values, kept))
            values = kept
        if cls.options(task).scheme is None and cls.scheme(task) == "IOB2" and observed_scheme(values) == "IOB1":
            return dataclasses.replace(task, options={**task.options, "scheme": "IOB1"})
        return task

    @classmethod
    def _noted_tags(cls, task: TaskConfig, values: Iterable[Any], kept: list[Any]) -> Iterator[ClassTarget]:
        """Yield the labels of all words with one, and keep the rows that were read."""
        for row, tags in enumerate(values):
            kept.append(tags)
            yield from (tag for tag in cls._targets(task, tags, len(tags), row) if tag is not None)

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return entity F1; for plain tags the accuracy."""
        return default_metrics(task, "token-classification")

    @classmethod
    def stock_problem_type(cls, task: TaskConfig) -> None:
        """Return nothing: stock token classification knows one problem."""
        return

    @classmethod
    def _spelled(cls, task: TaskConfig) -> Sequence[str]:
        """Return the labels as metrics read them."""
        labels = task.labels or ()
        return [as_iobes(label) for label in labels] if cls.scheme(task) == "BILOU" else labels

    @classmethod
    def _targets(cls, task: TaskConfig, tags: Any, words: int, row: int) -> list[ClassTarget | None]:
        """Return the tag id of each word, or the probability of each tag; ``None`` for a word without a label."""
        if isinstance(tags, str) or not isinstance(tags, Sequence):
            raise LabelError(row, f"found {tags!r}. Token classification needs a list with one tag per token.")
        for tag in tags:
            if isinstance(tag, (list, tuple)) and not is_soft(tag):
                raise LabelError(
                    row,
                    f"found several tags for one token, {tag!r}. A token has one tag: give each layer of nested or "
                    "overlapping entities its own column and task.",
                )
        if len(tags) != words:
            raise LabelError(row, f"{len(tags)} tags for {words} tokens. Token classification needs one tag per token.")
        return [
            None if tag is None else distribution(task, tag, row) if is_soft(tag) else label_index(task, tag, row)
            for tag in tags
        ]

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, L] int64 tag ids, or [R, L, C] float32 probabilities where a word has a distribution.

        `no_label` is at positions that train nothing.
        """
        labels_all = cls.options(task).label_all_tokens
        labels = task.labels or ()
        inside = [labels.index(inside_tag(label, labels)) for label in labels]
        rows = []
        for row, (tags, word_map) in enumerate(zip(values, words, strict=True)):
            targets = cls._targets(task, tags, len(word_map.spans), row)
            encoded: list[ClassTarget | None] = []
            previous = None
            for word in word_map.word_ids:
                target = None if word is None else targets[word]
                if target is None or (word == previous and not labels_all):
                    encoded.append(None)
                else:
                    encoded.append(_inside(target, inside) if word == previous else target)
                previous = word
            rows.append(encoded)
        return token_tensor(rows, task.num_labels, int(cls.no_label))

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> list[str | None]:
        """Return the (likeliest) tag names of the words, with the letters of IOBES, null where a word has none."""
        spelled = cls._spelled(task)
        words = len(value) if isinstance(value, Sequence) else 0
        return [None if t is None else spelled[likeliest(t)] for t in cls._targets(task, value, words, 0)]

    @classmethod
    def has_label(cls, labels: torch.Tensor) -> torch.Tensor:
        """Return which tokens have a label, [n] or [R, L]."""
        return has_class(labels, cls.no_label)

    @classmethod
    def comparable(cls, predictions: Sequence[Any], references: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the tags of the words that have one in the references."""
        kept = [[i for i, tag in enumerate(tags) if tag is not None] for tags in references]
        predicted = [[row[i] for i in where] for row, where in zip(predictions, kept, strict=True)]
        return predicted, [[row[i] for i in where] for row, where in zip(references, kept, strict=True)]

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy summed over labelled tokens, in nats."""
        return cross_entropy_sum(self.task, logits, labels)

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the divergence summed over labelled tokens, in nats: see `Head.divergence_sum`."""
        return class_divergence(logits_a, logits_b, self.has_label(labels))

    def label_probabilities(self, logits: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Return the probability of each tag at each token: see `Head.label_probabilities`."""
        return at_least_float32(logits).softmax(-1)

    @classmethod
    def soft_labels(cls, task: TaskConfig, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the probabilities, [R, L, C], `no_label` where the labels have none: see `Head.soft_labels`."""
        return probabilities.masked_fill(~cls.has_label(labels)[..., None], cls.no_label)

    def taught_sum(self, logits: torch.Tensor, labels: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
        """Return the cross-entropy with a teacher's answers: see `Head.taught_sum`."""
        return temperature**2 * self.loss_sum(logits / temperature, tempered(labels, temperature))

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription | None:
        """Return that tags are answered, by their logits alone."""
        return cls.describe_tags(task)

    @classmethod
    def describe_tags(cls, task: TaskConfig) -> TaskDescription:
        """Return how tags are read, whatever finds them: their scheme, and whether they must be legal in it."""
        return TaskDescription(
            task.name,
            task.type,
            "token",
            "softmax",
            task.labels or (),
            answers="tags",
            scheme=cls.scheme(task),
            constrained_decoding=cls.options(task).constrained_decoding,
        )

    @classmethod
    def legal_tags(cls, task: TaskConfig) -> LegalTags | None:
        """Return which sequences of tags may be answered; ``None``: all."""
        return TagAnswers.legal_tags(cls.describe_tags(task))

    def decoder(self) -> TagDecoder:
        """Return what finds the tags of words."""
        return TagAnswers.decoder(self.describe_tags(self.task))

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[Any]:
        """Return the tag names of each row's words, in the form of `reference`."""
        runs = WordRuns.of(words)
        of_words = logits.flatten(0, 1)[torch.tensor(runs.tokens, dtype=torch.long, device=logits.device)]
        ids = self.decoder().decode(as_array(of_words), np.array(runs.lengths, dtype=np.int64))
        spelled = self._spelled(self.task)
        tags: list[Any] = runs.in_rows([spelled[i] for i in ids.tolist()], NO_ANSWER)
        return tags


def _inside(target: ClassTarget, inside: Sequence[int]) -> ClassTarget:
    """Return the label of a word's further tokens: each tag's probability goes to that of its inside."""
    if isinstance(target, int):
        return inside[target]
    moved = [0.0] * len(target)
    for tag, probability in zip(inside, target, strict=True):
        moved[tag] += probability
    return moved
