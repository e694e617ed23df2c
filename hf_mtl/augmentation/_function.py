"""A user's own function of a row as an augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hf_mtl.augmentation._base import Augmentation
from hf_mtl_light.encoding import Row

__all__ = ["FunctionAugmentation"]


def _same(row: Row, rng: np.random.Generator) -> Row:
    return row


@dataclass(frozen=True, kw_only=True)
class FunctionAugmentation(Augmentation):
    """Change rows by a function of a row and a generator of random numbers.

    Args:
        function: Returns the changed row: with ``dataclasses.replace``, the row given is not to be changed.
    """

    p: float = 1.0
    function: Callable[[Row, np.random.Generator], Row] = _same
    title: ClassVar[str] = "a custom augmentation"
    # The function's author answers for labels.
    moves_text: ClassVar[bool] = False

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Call the function."""
        return self.function(row, rng)
