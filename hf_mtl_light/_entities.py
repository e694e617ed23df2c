"""Scores of tokens to entities, as Transformers' token-classification pipeline makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_mtl_light._rows import Token

__all__ = ["STRATEGIES", "entities"]

#: How the tokens of a word agree: not at all, or by the first token's scores, their mean, or the surest token's.
STRATEGIES = ("none", "simple", "first", "average", "max")

#: The label that is no entity.
_OUTSIDE = "O"
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class _Piece:
    """A token or a word, with its label."""

    label: str
    score: float
    word: str
    start: int
    end: int


def entities(
    tokens: Sequence[Token],
    scores: Scores,
    labels: Sequence[str],
    strategy: str,
    join: Callable[[Sequence[str]], str],
) -> list[dict[str, Any]]:
    """Group neighbouring tokens of one entity.

    Args:
        tokens: The tokens of a text.
        scores: [L, C], the probabilities of every position of the row.
        labels: The C labels.
        strategy: One of `STRATEGIES`.
        join: Puts the words of tokens together.

    Returns:
        For each entity ``entity_group``, ``score``, ``word``, ``start`` and ``end``; for ``"none"`` one dict a token,
        with ``entity`` and ``index`` in place of the group. Tokens labelled ``O`` are left out.
    """
    pieces = [_piece([token], scores[token.index], labels, join=lambda words: words[0]) for token in tokens]
    if strategy == "none":
        return [
            {
                "entity": piece.label,
                "score": piece.score,
                "index": token.index,
                "word": piece.word,
                "start": piece.start,
                "end": piece.end,
            }
            for token, piece in zip(tokens, pieces, strict=True)
            if piece.label != _OUTSIDE
        ]
    if strategy != "simple":
        pieces = [_piece(word, _agreed(scores, word, strategy), labels, join) for word in _words(tokens)]
    groups: list[list[_Piece]] = []
    for piece in pieces:
        is_begin, kind = _tag(piece.label)
        if groups and not is_begin and _tag(groups[-1][-1].label)[1] == kind:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [
        {
            "entity_group": kind,
            "score": float(np.mean([piece.score for piece in group])),
            "word": join([piece.word for piece in group]),
            "start": group[0].start,
            "end": group[-1].end,
        }
        for group in groups
        if (kind := group[0].label.split("-", 1)[-1]) != _OUTSIDE
    ]


def _piece(tokens: Sequence[Token], scores: Scores, labels: Sequence[str], join: Callable[[list[str]], str]) -> _Piece:
    best = int(scores.argmax())
    word = join([token.word for token in tokens])
    return _Piece(labels[best], float(scores[best]), word, tokens[0].start, tokens[-1].end)


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.is_subword:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _agreed(scores: Scores, word: Sequence[Token], strategy: str) -> Scores:
    """Return the scores [C] of a word."""
    own = scores[[token.index for token in word]]
    if strategy == "first":
        return np.asarray(own[0])
    if strategy == "max":
        return np.asarray(own[own.max(1).argmax()])
    return np.asarray(own.mean(0))


def _tag(label: str) -> tuple[bool, str]:
    """Return whether a label begins an entity, and the entity's type."""
    if label[:2] in ("B-", "I-"):
        return label[0] == "B", label[2:]
    return False, label
