"""Top and bottom exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._picture import PictureAugmentation

__all__ = ["VerticalFlip"]


@dataclass(frozen=True, kw_only=True)
class VerticalFlip(PictureAugmentation):
    """Turn a picture upside down and mirror it, where it has no side up: pictures of a microscope, or from above."""

    title: ClassVar[str] = "vertical flip"

    def changed(self, picture: Any, boxes: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """Exchange top and bottom."""
        from PIL import ImageOps

        left, top, right, bottom = boxes.T
        return ImageOps.flip(picture), np.stack([left, picture.height - bottom, right, picture.height - top], -1)
