"""How tags spell entities: the schemes, which of them a set of tags is written in, and what its letters mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed

__all__ = ["SCHEMES", "as_iobes", "check_tags", "infer_scheme", "inside_tag", "observed_scheme", "split_tag"]

#: Tag schemes: which prefixes a tag may carry.
SCHEMES: dict[str, frozenset[str]] = {
    "IOB1": frozenset("IB"),
    "IOB2": frozenset("IB"),
    "IOBES": frozenset("IBES"),
    "BILOU": frozenset("BILU"),
    "plain": frozenset(),
}

#: Prefixes that other schemes call by another letter: the last word of an entity, and an entity of one word.
_IOBES_PREFIX = {"L": "E", "U": "S"}
#: Two tags in one: ``B-A|B-B``, ``B-A|O``.
_SEVERAL = re.compile(r"[|,;+/\s]\s*(?:O\s*$|O\s*[|,;+/]|[BIESLU]-)")
#: Openings of entities that distinguish IOB1 from IOB2: enough to outvote mistakes, few enough to be found at once.
_OPENINGS = 100


def split_tag(tag: str) -> tuple[str, str]:
    """Return a tag's prefix and type; ``"O"`` and no type where it marks no entity.

    >>> split_tag("B-city"), split_tag("O"), split_tag("NOUN")
    (('B', 'city'), ('O', ''), ('O', ''))
    """
    return (tag[0], tag[2:]) if tag[1:2] == "-" and len(tag) > 2 else ("O", "")


def as_iobes(tag: str) -> str:
    """Return a tag with the letters of IOBES, which metrics read: BILOU has others for the same.

    >>> as_iobes("U-city"), as_iobes("I-city"), as_iobes("O")
    ('S-city', 'I-city', 'O')
    """
    prefix, kind = split_tag(tag)
    return f"{_IOBES_PREFIX[prefix]}-{kind}" if prefix in _IOBES_PREFIX else tag


def infer_scheme(labels: Sequence[str]) -> str:
    """Return the scheme that a set of tags is written in.

    IOB1 and IOB2 have the same tags, so both are taken for ``"IOB2"``; see `observed_scheme`.

    >>> infer_scheme(["O", "B-city", "I-city"]), infer_scheme(["O", "U-city"]), infer_scheme(["NOUN", "VERB"])
    ('IOB2', 'BILOU', 'plain')
    """
    prefixes = {split_tag(label)[0] for label in labels if label != "O"}
    if not prefixes or "O" not in labels:
        return "plain"
    return next((scheme for scheme in ("IOB2", "IOBES", "BILOU") if prefixes <= SCHEMES[scheme]), "plain")


def observed_scheme(rows: Iterable[Any]) -> str:
    """Return whether rows of tags with the prefixes B and I are written in ``"IOB1"`` or in ``"IOB2"``.

    An entity that does not follow one of the same type opens with I in IOB1 and with B in IOB2. The first hundred
    decide; rows that are no lists of tags are passed over.

    >>> observed_scheme([["O", "I-city", "I-city"]]), observed_scheme([["B-city", "I-city", "O"]])
    ('IOB1', 'IOB2')
    """
    openings = list(islice((prefix for tags in rows for prefix in _openings(tags)), _OPENINGS))
    return "IOB1" if openings.count("I") > openings.count("B") else "IOB2"


def _openings(tags: Any) -> Iterable[str]:
    type_before = ""
    for tag in tags if isinstance(tags, (list, tuple)) else ():
        prefix, kind = split_tag(tag) if isinstance(tag, str) else ("O", "")
        if kind and kind != type_before:
            yield prefix
        type_before = kind


def inside_tag(tag: str, labels: Sequence[str]) -> str:
    """Return the tag of a word's further tokens: that of the inside of the same entity, where there is one."""
    inside = f"I-{tag[2:]}"
    return inside if tag[:2] in ("B-", "S-", "U-") and inside in labels else tag


def check_tags(task: str, labels: Sequence[str], scheme: str | None) -> None:
    """Check that labels are tags of one scheme.

    Args:
        task: The task's name, for messages.
        labels: The labels.
        scheme: The scheme; ``None`` where it is inferred from the labels.

    Raises:
        ValueError: If a label is no tag of the scheme, holds several tags, or is no tag among tags.
    """
    given = scheme or infer_scheme(labels)
    if scheme is None and given == "plain" and "O" in labels and any(label.startswith("B-") for label in labels):
        given = "IOBES"  # tags of entities, but for some: the loop below finds which
    if given == "plain":
        return
    for label in labels:
        if label == "O":
            continue
        if several := _SEVERAL.search(label):
            raise UserError(
                f"Task {task!r}: label {label!r} holds several tags, separated by {several[0][0]!r}. A word has one "
                "tag: give each layer of nested or overlapping entities its own column and task."
            )
        if split_tag(label)[0] not in SCHEMES[given]:
            raise UserError(
                f"Task {task!r}: label {label!r} is not a tag of {given}, whose tags are 'O' and a prefix of "
                f"{listed(f'{p}-' for p in sorted(SCHEMES[given]))} before a type. "
                "Mend the label, or set the option scheme to 'plain'."
            )
