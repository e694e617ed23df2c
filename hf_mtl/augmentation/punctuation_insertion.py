"""Punctuation marks put between words (AEDA)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._rated import RatedAugmentation
from hf_mtl.augmentation._units import are_in_entities, tags_of, units_of, with_units
from hf_mtl_light.encoding import Row

__all__ = ["PunctuationInsertion"]

_MARKS = (".", ";", "?", ":", "!", ",")


@dataclass(frozen=True, kw_only=True)
class PunctuationInsertion(RatedAugmentation):
    """Put 1 to ``rate`` times as many punctuation marks as there are words before words, none within an entity.

    A mark between words with tags has the tag ``O`` if the row's tags have it, and else none, which trains nothing.

    Args:
        rate: The most marks, as a fraction of the words, in [0, 1].

    Source: Karimi et al., AEDA, Findings of EMNLP 2021.
    """

    rate: float = 1 / 3
    title: ClassVar[str] = "punctuation insertion"

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Put marks into the text."""
        units = units_of(row.text)
        tags = tags_of(row, tagging)
        inside = are_in_entities(tags, len(units))
        places = [i for i in range(len(units)) if not (inside[i] and i and inside[i - 1])]
        most = min(int(len(units) * self.rate), len(places))
        if most < 1:
            return row
        count = int(rng.integers(1, most + 1))
        marked = set(rng.choice(places, size=count, replace=False).tolist())
        drawn = {i: _MARKS[rng.integers(len(_MARKS))] for i in sorted(marked)}
        space = " " if isinstance(row.text, str) and " " in row.text else ""
        new = [string for i, unit in enumerate(units) for string in ([drawn[i] + space] if i in drawn else []) + [unit]]
        labels: dict[str, Any] = dict(row.labels)
        for task, values in tags.items():
            own = "O" if "O" in values else None
            labels[task] = [v for i, value in enumerate(values) for v in ([own] if i in drawn else []) + [value]]
        return with_units(row, new, labels)
