"""A tag for each word, joined to entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from hf_mtl_light.answering._aggregation import aggregate
from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, softmax
from hf_mtl_light.tags import (
    NO_ANSWER,
    LegalTags,
    TagDecoder,
    WordByWord,
    WordRuns,
    entities,
    infer_scheme,
    tagged_words,
)
from hf_mtl_light.words import WordMap

__all__ = ["TagAnswers"]


class TagAnswers(Answers):
    """The entities with their character offsets, or for plain tags one dict a word."""

    level: ClassVar[Literal["sequence", "token"]] = "token"
    needs_words: ClassVar[bool] = True
    options = frozenset({"aggregation_strategy", "ignore_labels"})

    @classmethod
    def scheme(cls, task: TaskDescription) -> str:
        """Return the tag scheme, given or inferred from the labels."""
        return task.scheme or infer_scheme(task.labels)

    @classmethod
    def legal_tags(cls, task: TaskDescription) -> LegalTags | None:
        """Return which sequences of tags may be answered; ``None``: all."""
        return LegalTags.of(task.labels, cls.scheme(task)) if task.constrained_decoding else None

    @classmethod
    def decoder(cls, task: TaskDescription) -> TagDecoder:
        """Return what finds the tags of words by their logits alone."""
        return WordByWord(cls.legal_tags(task))

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the entities of each row, or its tagged words if the tags are plain; see `AnswerOptions`."""
        return cls.decoded(cls.decoder(task), task, logits, words, options)

    @classmethod
    def decoded(
        cls,
        decoder: TagDecoder,
        task: TaskDescription,
        logits: np.ndarray,
        words: Sequence[WordMap],
        options: AnswerOptions | None = None,
    ) -> list[Any]:
        """Return the answers with the tags that a decoder finds; aggregation strategies read the logits alone."""
        if options is not None and options.aggregation_strategy is not None:
            probabilities = softmax(calibrated(logits, task.temperature))
            stops = np.cumsum([len(row.word_ids) for row in words]).tolist()
            of_rows = (probabilities[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True))
            return [aggregate(row, own, task.labels, options) for row, own in zip(words, of_rows, strict=True)]
        runs = WordRuns.of(words)
        of_words = logits[np.array(runs.tokens, dtype=np.int64)]
        lengths = np.array(runs.lengths, dtype=np.int64)
        ids = decoder.decode(of_words, lengths)
        # Tags by the logits as they are: a temperature changes how sure they are, not which.
        scores = decoder.probabilities(calibrated(of_words, task.temperature), lengths)[np.arange(len(ids)), ids]
        # One conversion a batch: single numbers are slow to take out of an array.
        all_tags = runs.in_rows([task.labels[i] for i in ids.tolist()], NO_ANSWER)
        all_scores = runs.in_rows(scores.tolist(), 0.0)
        join = tagged_words if cls.scheme(task) == "plain" else entities
        return [join(*row) for row in zip(words, all_tags, all_scores, strict=True)]

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return a list of entities, or of tagged words or tokens."""
        strategy = None if options is None else options.aggregation_strategy
        place = {"word": str, "start": int, "end": int}
        if strategy == "none":
            return [{"entity": str, "score": float, "index": int, **place}]
        is_plain = strategy is None and cls.scheme(task) == "plain"
        return [{"entity" if is_plain else "entity_group": str, "score": float, **place}]
