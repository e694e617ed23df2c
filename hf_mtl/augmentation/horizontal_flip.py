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

    def changed(self, picture: Any, rng: np.random.Generator) -> Any:
        """Exchange left and right."""
        from PIL import ImageOps

        return ImageOps.mirror(picture)
