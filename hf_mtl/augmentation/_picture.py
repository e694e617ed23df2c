"""What augmentations of pictures have in common."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._base import Augmentation
from hf_mtl.heads import Head, PictureHead
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["PictureAugmentation", "check_range"]


@dataclass(frozen=True, kw_only=True)
class PictureAugmentation(Augmentation):
    """Changes the picture of a row; its texts stay."""

    moves_text: ClassVar[bool] = False
    #: Whether what lies at a place of the picture lies elsewhere afterwards.
    moves_pixels: ClassVar[bool] = True

    def check(self, dataset: str, inputs: Collection[str], heads: Mapping[str, type[Head]]) -> None:
        """Check that rows have pictures, and that no label is a place in them where pixels are moved."""
        super().check(dataset, inputs, heads)
        if "image" not in inputs:
            raise UserError(
                f"Dataset {dataset!r}: {self.title} needs a column 'image'. Name the datasets that it is for: "
                "datasets: [...]."
            )
        for task, head in heads.items():
            if self.moves_pixels and head.modality() == "image" and not issubclass(head, PictureHead):
                raise self.refusal(dataset, task, "has labels at places of the picture, which would not move with it")

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Change the picture, which was read as `hf_mtl.data.read_picture` does; of a row without one nothing."""
        return row if row.image is None else replace(row, image=self.changed(row.image, rng))

    def changed(self, picture: Any, rng: np.random.Generator) -> Any:
        """Return a changed picture of Pillow.

        Args:
            picture: The picture, of mode RGB; it is not changed.
            rng: The only source of random numbers.
        """
        raise NotImplementedError


def check_range(name: str, given: Any, low: float, high: float) -> None:
    """Check that an option is two numbers in ascending order within bounds.

    Raises:
        ValueError: If it is not.
    """
    is_pair = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2
    if is_pair and all(isinstance(value, (int, float)) and math.isfinite(value) for value in given):
        first, last = given
        if low <= first <= last <= high and last > 0:
            return
    raise UserError(f"{name} must be two numbers in ascending order between {low:g} and {high:g}, found {given!r}.")
