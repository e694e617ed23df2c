"""A random section of a picture in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._picture import PictureAugmentation, check_range

__all__ = ["ResizedCrop"]

#: Sections that are drawn before the picture is taken whole.
_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class ResizedCrop(PictureAugmentation):
    """Crop a random section, which the image processor then brings to the encoder's size.

    Boxes of objects are clipped to it; an object of which less than a quarter of its box is left is left out.

    Args:
        scale: The section's area as a share of the picture's, least and greatest, in (0, 1].
        ratio: Its width over its height, least and greatest.

    Source: Szegedy et al., Going deeper with convolutions, CVPR 2015; there with areas from 0.08.
    """

    scale: Sequence[float] = (0.5, 1.0)
    ratio: Sequence[float] = (0.75, 4 / 3)
    title: ClassVar[str] = "resized crop"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("scale", self.scale, 0.01, 1)
        check_range("ratio", self.ratio, 0.1, 10)

    def changed(self, picture: Any, boxes: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """Return a section; the whole where none of ten that are drawn lies within the picture."""
        (smallest, largest), (narrowest, widest) = self.scale, self.ratio
        for _ in range(_TRIES):
            area = picture.width * picture.height * rng.uniform(smallest, largest)
            ratio = math.exp(rng.uniform(math.log(narrowest), math.log(widest)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= picture.width and 0 < height <= picture.height:
                left = int(rng.integers(picture.width - width + 1))
                top = int(rng.integers(picture.height - height + 1))
                return picture.crop((left, top, left + width, top + height)), boxes - [left, top, left, top]
        return picture, boxes
