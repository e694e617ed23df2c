"""Words replaced by others with the same tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._rated import LearnedAugmentation
from hf_mtl.augmentation._units import with_units
from hf_mtl_light.encoding import Row

__all__ = ["TokenReplacement"]


@dataclass(frozen=True, kw_only=True)
class TokenReplacement(LearnedAugmentation):
    """Replace words by words with the same tag, drawn from the training rows as often as they occur; tags stay.

    Args:
        rate: The probability of each word of a changed row, in [0, 1].

    Source: Dai & Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020, label-wise
    token replacement.
    """

    rate: float = 0.3
    title: ClassVar[str] = "label-wise token replacement"

    def entries(self, row: Row, task: str) -> Iterator[tuple[tuple[str, Any], str]]:
        """Yield the row's words by task and tag."""
        for word, tag in zip(row.text, row.labels[task], strict=True):
            if isinstance(tag, str):  # not a distribution over tags
                yield (task, tag), word

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Replace words of the text."""
        task = self.tagged_task(row, tagging)
        if task is None:
            return row
        words = list(row.text)
        chosen = rng.random(len(words)) < self.rate
        for i, tag in enumerate(row.labels[task]):
            if chosen[i] and isinstance(tag, str) and (known := self._known.get((task, tag))):
                words[i] = known[rng.integers(len(known))]
        return with_units(row, words)
