"""Brightness, contrast and saturation at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.augmentation._picture import PictureAugmentation

__all__ = ["ColorJitter"]


@dataclass(frozen=True, kw_only=True)
class ColorJitter(PictureAugmentation):
    """Multiply brightness, contrast and saturation, in this order, by factors in [1 - x, 1 + x], each by its x.

    Args:
        brightness: x of the brightness, in [0, 1].
        contrast: x of the contrast, in [0, 1].
        saturation: x of the saturation, in [0, 1].
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    title: ClassVar[str] = "color jitter"
    moves_pixels: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("brightness", "contrast", "saturation"):
            check_number(name, getattr(self, name), 0, 1)

    def changed(self, picture: Any, boxes: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """Change the three."""
        from PIL import ImageEnhance

        factors = 1 + rng.uniform(-1, 1, 3) * (self.brightness, self.contrast, self.saturation)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors.tolist(), strict=True):
            picture = kind(picture).enhance(factor)
        return picture, boxes
