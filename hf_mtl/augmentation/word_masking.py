"""Words replaced by the mask token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._rated import RatedAugmentation
from hf_mtl.augmentation._units import units_of, with_units
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["WordMasking"]


@dataclass(frozen=True, kw_only=True)
class WordMasking(RatedAugmentation):
    """Replace words by the mask token; the tags of masked words stay, and one word at least is not masked.

    Args:
        rate: The probability of each word of a changed row, in [0, 1].
        mask: The mask; ``None``: the tokenizer's.
    """

    rate: float = 0.15
    mask: str | None = None
    title: ClassVar[str] = "word masking"

    def for_tokenizer(self, tokenizer: Any) -> WordMasking:
        """Return the augmentation with the tokenizer's mask token."""
        if self.mask is not None:
            return self
        if tokenizer.mask_token is None:
            raise UserError("word-masking: the tokenizer has no mask token. Give one: mask: '[MASK]'.")
        return replace(self, mask=str(tokenizer.mask_token))

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Mask words of the text."""
        units = units_of(row.text)
        chosen = rng.random(len(units)) < self.rate
        if len(units) < 2 or not chosen.any():
            return row
        if chosen.all():
            chosen[rng.integers(len(units))] = False
        mask = str(self.mask)
        return with_units(
            row,
            [
                unit.replace(unit.strip(), mask) if hit and unit.strip() else unit
                for unit, hit in zip(units, chosen, strict=True)
            ],
        )
