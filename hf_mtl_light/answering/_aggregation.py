"""From the probabilities of tokens to entities, by the strategies of Transformers' token-classification pipeline.

The results are those of ``transformers.TokenClassificationPipeline`` on the same logits: the same entities, offsets
and scores. But ``word`` is the raw text from ``start`` to ``end``, where that pipeline joins the tokenizer's own
pieces again (``new york`` for ``New York``), and all values are plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._options import AnswerOptions
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap, trimmed

__all__ = ["aggregate"]


def aggregate(
    words: WordMap, probabilities: np.ndarray, labels: Sequence[str], options: AnswerOptions
) -> list[dict[str, Any]]:
    """Return the entities of one text.

    Args:
        words: Its words, with their pieces.
        probabilities: [n, C], of all tokens of the row.
        labels: The C tags.
        options: The strategy, and the labels to leave out.

    Returns:
        For ``"none"`` a dict a token: ``entity``, ``score``, ``index``, ``word``, ``start``, ``end``; else a dict an
        entity: ``entity_group``, ``score``, ``word``, ``start``, ``end``.

    Raises:
        ValueError: If the words come without pieces.
    """
    raw_tokens = words.raw_tokens
    if raw_tokens is None:
        raise UserError("An aggregation_strategy needs the tokens of the text; this row was encoded without them.")
    if not raw_tokens.index:
        return []
    own = probabilities[list(raw_tokens.index)]
    starts = [0, *(i for i, inside in enumerate(raw_tokens.is_subword) if inside is False and i)]
    if options.aggregation_strategy in ("none", "simple"):
        starts = list(range(len(own)))
    ids, scores = _best(own, starts, options.aggregation_strategy or "none")
    stops = [*starts[1:], len(own)]
    spans = [(raw_tokens.spans[i][0], raw_tokens.spans[j - 1][1]) for i, j in zip(starts, stops, strict=True)]
    tags = [labels[i] for i in ids]
    ignored = options.ignore_labels
    if options.aggregation_strategy == "none":
        return [
            {"entity": tag, "score": score, "index": index, "word": words.text[start:end], "start": start, "end": end}
            for tag, score, index, (start, end) in zip(tags, scores.tolist(), raw_tokens.index, spans, strict=True)
            if tag not in ignored and start < end
        ]
    found = []
    for first, last in _groups(tags):
        kind = tags[first].split("-", 1)[-1]
        if kind not in ignored:
            start, end = trimmed(words.text, spans[first][0], spans[last][1])
            if start == end:  # white space alone
                continue
            score = float(np.nanmean(scores[first : last + 1]))
            found.append(
                {"entity_group": kind, "score": score, "word": words.text[start:end], "start": start, "end": end}
            )
    return found


def _best(own: np.ndarray, starts: Sequence[int], strategy: str) -> tuple[list[int], np.ndarray]:
    """Return the tag of each word that begins at one of ``starts``, and its probability."""
    if strategy == "average":
        if len(starts) < len(own):
            stops = [*starts[1:], len(own)]
            own = np.stack([own[i:j].mean(0) for i, j in zip(starts, stops, strict=True)])
        chosen = own
    elif strategy == "max" and len(starts) < len(own):
        top, stops = own.max(-1), [*starts[1:], len(own)]
        chosen = own[[i + int(top[i:j].argmax()) for i, j in zip(starts, stops, strict=True)]]
    else:
        chosen = own[list(starts)]
    ids = chosen.argmax(-1)
    return ids.tolist(), chosen[np.arange(len(ids)), ids]


def _groups(tags: Sequence[str]) -> list[tuple[int, int]]:
    """Return the first and the last of the neighbours that form an entity: of one type, none but the first ``B-``."""
    groups: list[tuple[int, int]] = []
    before = None
    for i, tag in enumerate(tags):
        kind = tag[2:] if tag[:2] in ("B-", "I-") else tag
        if groups and kind == before and tag[:2] != "B-":
            groups[-1] = (groups[-1][0], i)
        else:
            groups.append((i, i))
        before = kind
    return groups
