"""From one tag a word to entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl_light.tags._schemes import as_iobes, split_tag
from hf_mtl_light.words import WordMap, trimmed

__all__ = ["entities", "tagged_words"]


def entities(words: WordMap, tags: Sequence[str], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Join words into entities, leniently: what follows the scheme gives what the scheme says.

    An entity begins at ``B-`` or ``S-``, where the type changes, and after a word without a tag; it ends at ``E-``
    or ``S-`` and before the next one.

    Args:
        words: The words of the row.
        tags: A tag for each word.
        scores: The probability of each tag.

    Returns:
        For each entity: ``entity_group`` its type, ``score`` the mean probability of its words' tags, ``word`` its
        text, ``start`` and ``end`` its place in the raw text, in characters.

    >>> entities(WordMap("to New York", [(0, 2), (3, 6), (7, 11)], []), ["O", "B-city", "I-city"], [1.0, 0.5, 0.75])
    [{'entity_group': 'city', 'score': 0.625, 'word': 'New York', 'start': 3, 'end': 11}]
    """
    groups: list[tuple[str, int, int]] = []  # type, first word, last word
    is_open = False
    for position, tag in enumerate(tags):
        prefix, kind = split_tag(as_iobes(tag))
        if prefix == "O":
            is_open = False
            continue
        if is_open and prefix not in "BS" and groups[-1][0] == kind:
            groups[-1] = (kind, groups[-1][1], position)
        else:
            groups.append((kind, position, position))
        is_open = prefix not in "ES"
    places = [trimmed(words.text, words.spans[first][0], words.spans[last][1]) for _, first, last in groups]
    return [
        {
            "entity_group": kind,
            "score": sum(scores[first : last + 1]) / (last + 1 - first),
            "word": words.text[start:end],
            "start": start,
            "end": end,
        }
        for (kind, first, last), (start, end) in zip(groups, places, strict=True)
    ]


def tagged_words(words: WordMap, tags: Sequence[str], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Return the words with their tags, from what `entities` takes: ``entity``, ``score``, ``word``, place."""
    return [
        {"entity": tag, "score": score, "word": words.text[start:end], "start": start, "end": end}
        for tag, score, (start, end) in zip(tags, scores, words.spans, strict=True)
    ]
