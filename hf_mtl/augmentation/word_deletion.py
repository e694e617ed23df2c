"""Words left out, with their tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_mtl.augmentation._rated import RatedAugmentation
from hf_mtl.augmentation._units import are_in_entities, tags_of, units_of, with_units
from hf_mtl_light.encoding import Row

__all__ = ["WordDeletion"]


@dataclass(frozen=True, kw_only=True)
class WordDeletion(RatedAugmentation):
    """Leave words out; entities stay whole and apart, and one word at least is left.

    Args:
        rate: The probability of each word of a changed row, in [0, 1].

    Source: Wei & Zou, EDA, EMNLP 2019, random deletion.
    """

    rate: float = 0.1
    title: ClassVar[str] = "word deletion"

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Leave out words of the text."""
        units = units_of(row.text)
        gone = rng.random(len(units)) < self.rate
        tags = tags_of(row, tagging)
        inside = are_in_entities(tags, len(units))
        for i, within in enumerate(inside):
            # The first word after an entity stays: without it two entities could become one.
            if within or (i and inside[i - 1]):
                gone[i] = False
        if not gone.any():
            return row
        if gone.all():
            gone[rng.integers(len(units))] = False
        kept = np.flatnonzero(~gone).tolist()
        labels = {**row.labels, **{task: [values[i] for i in kept] for task, values in tags.items()}}
        return with_units(row, [units[i] for i in kept], labels)
