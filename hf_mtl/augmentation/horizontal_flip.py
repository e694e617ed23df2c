"""Left and right exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._picture import PictureAugmentation

__all__ = ["HorizontalFlip"]


@dataclass(frozen=True, kw_only=True)
class HorizontalFlip(PictureAugmentation):
    """Mirror a picture, for labels that hold of its mirror image, too: not for letters, or left and right hands."""

    title: ClassVar[str] = "horizontal flip"

    def changed(self, picture: Any, boxes: np.ndarray, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
        """Exchange left and right."""
        from PIL import ImageOps

        left, top, right, bottom = boxes.T
        return ImageOps.mirror(picture), np.stack([picture.width - right, top, picture.width - left, bottom], -1)
