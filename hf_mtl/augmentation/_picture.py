"""What augmentations of pictures have in common."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hf_mtl.augmentation._base import Augmentation
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.heads import Head

__all__ = ["PictureAugmentation", "check_range"]


@dataclass(frozen=True, kw_only=True)
class PictureAugmentation(Augmentation):
    """Changes the picture of a row, and moves the boxes of its objects with it; its texts stay."""

    moves_text: ClassVar[bool] = False
    #: Whether what lies at a place of the picture lies elsewhere afterwards.
    moves_pixels: ClassVar[bool] = True
    #: An object of which a smaller share of its box is left in the picture is left out.
    least_visible: ClassVar[float] = 0.25

    def check(self, dataset: str, inputs: Collection[str], heads: Mapping[str, type[Head]]) -> None:
        """Check that rows have pictures, and that labels which are places in them are boxes where pixels are moved."""
        from hf_mtl.heads import PictureHead  # heads need torch, which options are read without

        super().check(dataset, inputs, heads)
        if "image" not in inputs:
            raise UserError(
                f"Dataset {dataset!r}: {self.title} needs a column 'image'. Name the datasets that it is for: "
                "datasets: [...]."
            )
        for task, head in heads.items():
            follows = issubclass(head, PictureHead) or head.labels_objects
            if self.moves_pixels and head.modality() == "image" and not follows:
                raise self.refusal(dataset, task, "has labels at places of the picture, which would not move with it")

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Change the picture, which was read as `hf_mtl.data.read_picture` does; of a row without one nothing."""
        from hf_mtl.heads import Objects  # likewise

        if row.image is None:
            return row
        found = {task: label for task, label in row.labels.items() if isinstance(label, Objects)}
        corners = np.array([box for label in found.values() for box in label.boxes], dtype=np.float64).reshape(-1, 4)
        picture, corners = self.changed(row.image, corners, rng)
        if not found:
            return replace(row, image=picture)
        ends = np.cumsum([len(label.boxes) for label in found.values()])[:-1]
        moved = {
            task: label.moved(boxes.tolist(), picture.size, self.least_visible)
            for (task, label), boxes in zip(found.items(), np.split(corners, ends), strict=True)
        }
        return replace(row, image=picture, picture_size=picture.size, labels={**row.labels, **moved})

    def changed(self, picture: Any, boxes: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """Return a changed picture of Pillow, and where its objects are in it.

        Args:
            picture: The picture, of mode RGB; it is not changed.
            boxes: [G, 4] float64, the left, top, right and bottom of the objects in pixels; they are not changed.
            rng: The only source of random numbers. What is drawn does not depend on the boxes.

        Returns:
            The picture and the boxes [G, 4], in the same order, which may reach out of it.
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
