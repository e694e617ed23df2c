"""Words put into another order within their segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np

from hf_mtl.augmentation._rated import RatedAugmentation
from hf_mtl.augmentation._units import are_in_entities, tags_of, units_of, with_units
from hf_mtl_light.encoding import Row

__all__ = ["SegmentShuffling"]

_ENDS = tuple(".,;:!?\u3002\uff0c\uff1b\uff1a\uff01\uff1f\u3001")


@dataclass(frozen=True, kw_only=True)
class SegmentShuffling(RatedAugmentation):
    """Shuffle the words of segments; the tags stay where they are.

    A segment of a tagged row is a run of words with the same tags outside of entities, whose words stay; of
    another text, what lies between punctuation marks.

    Args:
        rate: The probability of each segment of a changed row, in [0, 1].

    Source: Dai & Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020, shuffle
    within segments.
    """

    rate: float = 0.5
    title: ClassVar[str] = "segment shuffling"

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Shuffle words of the text."""
        units = units_of(row.text)
        tags = tags_of(row, tagging)
        if tags:
            keys: list[object] = [tuple(repr(values[i]) for values in tags.values()) for i in range(len(units))]
            inside = are_in_entities(tags, len(units))
            keys = [(key, i) if within else key for i, (key, within) in enumerate(zip(keys, inside, strict=True))]
        else:
            number, keys = 0, []
            for unit in units:
                ends = unit.strip().endswith(_ENDS)
                keys.append(("end", number) if ends else number)
                number += ends
        order: list[int] = []
        for _, group in groupby(range(len(units)), key=keys.__getitem__):
            segment = list(group)
            if len(segment) > 1 and rng.random() < self.rate:
                segment = rng.permutation(segment).tolist()
            order += segment
        if isinstance(row.text, str):
            cores = [units[i].strip() for i in order]
            gaps = [unit[len(unit.rstrip()) :] for unit in units]
            return with_units(row, [core + gap for core, gap in zip(cores, gaps, strict=True)])
        return with_units(row, [units[i] for i in order])
