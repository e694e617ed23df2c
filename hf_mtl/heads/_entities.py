"""From one tag a word to entities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_mtl.words import WordMap

__all__ = ["SCHEMES", "entities", "infer_scheme", "inside_tag"]

#: Tag schemes: which prefixes a tag may carry.
SCHEMES: dict[str, frozenset[str]] = {
    "IOB1": frozenset("IB"),
    "IOB2": frozenset("IB"),
    "IOBES": frozenset("IBES"),
    "plain": frozenset(),
}


def infer_scheme(labels: Sequence[str]) -> str:
    """Return the scheme that a set of tags is written in.

    IOB1 cannot be told from IOB2 by its tags, so both are taken for ``"IOB2"``.

    >>> infer_scheme(["O", "B-city", "I-city"]), infer_scheme(["NOUN", "VERB"])
    ('IOB2', 'plain')
    """
    prefixes = {label[0] if label[1:2] == "-" and len(label) > 2 else "" for label in labels if label != "O"}
    if not prefixes or "O" not in labels or not prefixes <= SCHEMES["IOBES"]:
        return "plain"
    return "IOBES" if prefixes & {"E", "S"} else "IOB2"


def inside_tag(tag: str, labels: Sequence[str]) -> str:
    """Return the tag of a word's further tokens: that of the inside of the same entity, where there is one."""
    inside = f"I-{tag[2:]}"
    return inside if tag[:2] in ("B-", "S-") and inside in labels else tag


def entities(words: WordMap, tags: Sequence[str], scores: Sequence[float]) -> list[dict[str, Any]]:
    """Join words into entities, leniently: what follows the scheme gives what the scheme says.

    An entity begins at ``B-`` or ``S-``, where the type changes, and behind a word without a tag; it ends at ``E-``
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
        prefix, kind = (tag[0], tag[2:]) if tag[1:2] == "-" else ("O", "")
        if prefix == "O":
            is_open = False
            continue
        if is_open and prefix not in "BS" and groups[-1][0] == kind:
            groups[-1] = (kind, groups[-1][1], position)
        else:
            groups.append((kind, position, position))
        is_open = prefix not in "ES"
    return [
        {
            "entity_group": kind,
            "score": sum(scores[first : last + 1]) / (last + 1 - first),
            "word": words.text[words.spans[first][0] : words.spans[last][1]],
            "start": words.spans[first][0],
            "end": words.spans[last][1],
        }
        for kind, first, last in groups
    ]
