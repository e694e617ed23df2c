"""Words replaced by others with the same tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.augmentation._base import Augmentation
from hf_mtl.augmentation._units import with_units
from hf_mtl_light.encoding import Row

__all__ = ["TokenReplacement"]


@dataclass(frozen=True, kw_only=True)
class TokenReplacement(Augmentation):
    """Replace words by words with the same tag, drawn from the training rows as often as they occur; tags stay.

    Args:
        rate: The probability of each word of a changed row, in [0, 1].

    Source: Dai & Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020, label-wise
    token replacement.
    """

    rate: float = 0.3
    title: ClassVar[str] = "label-wise token replacement"
    needs_tags: ClassVar[bool] = True
    _known: dict[tuple[str, Any], list[str]] = field(default_factory=dict, repr=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("rate", self.rate, 0, 1)

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options."""
        return [name for name in super().option_names() if not name.startswith("_")]

    def learned(self, rows: Iterable[tuple[Row, str]]) -> TokenReplacement:
        """Return the augmentation with the words of the training rows."""
        known: dict[tuple[str, Any], list[str]] = {}
        for row, task in rows:
            for word, tag in zip(row.text, row.labels[task], strict=True):
                if tag is not None:
                    known.setdefault((task, tag), []).append(word)
        made = replace(self)
        object.__setattr__(made, "_known", known)
        return made

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Replace words of the text."""
        task = next((task for task in tagging if task in row.labels), None)
        if task is None:
            return row
        words = list(row.text)
        chosen = rng.random(len(words)) < self.rate
        for i, tag in enumerate(row.labels[task]):
            if chosen[i] and (known := self._known.get((task, tag))):
                words[i] = known[rng.integers(len(known))]
        return with_units(row, words)
