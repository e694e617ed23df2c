"""The units of a text that are masked, dropped or moved: words, or characters where words are not separated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hf_mtl_light.encoding import Row

__all__ = ["are_in_entities", "tags_of", "units_of", "with_units"]

#: Thai, Lao, Burmese, Khmer, kana, Han: scripts that write no spaces between words.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS = "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u3099\u309a\ufe00-\ufe0f"
_UNIT = re.compile(rf"(?:[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+)\s*")
_ENTITY = re.compile(r"[BIESLUM]-")


def units_of(text: str | Sequence[str]) -> list[str]:
    """Return the units of a text, each with the white space after it, or its words if it is given as words.

    >>> units_of("a good  film"), units_of("我爱BERT")
    (['a ', 'good  ', 'film'], ['我', '爱', 'BERT'])
    """
    return _UNIT.findall(text.strip()) if isinstance(text, str) else list(text)


def with_units(row: Row, units: Sequence[str], labels: dict[str, Any] | None = None) -> Row:
    """Return a row with other units, and other labels where these are given."""
    text = "".join(units).strip() if isinstance(row.text, str) else list(units)
    return replace(row, text=text, labels=row.labels if labels is None else labels)


def tags_of(row: Row, tasks: Sequence[str]) -> dict[str, list[Any]]:
    """Return a row's labels of single words, by task."""
    return {task: list(row.labels[task]) for task in tasks if task in row.labels}


def are_in_entities(tags: dict[str, list[Any]], count: int) -> list[bool]:
    """Return for each word whether a task tags it as a word of an entity."""
    return [
        any(isinstance(labels[i], str) and _ENTITY.match(labels[i]) is not None for labels in tags.values())
        for i in range(count)
    ]
