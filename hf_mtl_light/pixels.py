"""From a picture to the pixels that an encoder takes, by numpy and Pillow: what image processors do, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PixelDescription"]


@dataclass(frozen=True)
class PixelDescription:
    """How a picture becomes pixels, in this order: resized, its centre cut out, rescaled, normalised.

    Args:
        size: What it is resized to: ``height`` and ``width``, or ``shortest_edge``, in pixels; ``None``: not resized.
        resample: Pillow's number of the filter, such as 2 for bilinear.
        crop_size: ``height`` and ``width`` of what is cut out of the centre, with black around a smaller picture;
            ``None``: nothing is.
        rescale_factor: What levels from 0 to 255 are multiplied by; ``None``: they stay.
        mean: Of each channel what is subtracted then; ``None``: nothing.
        std: Of each channel what it is divided by then.
    """

    size: Mapping[str, int] | None = None
    resample: int = 2
    crop_size: Mapping[str, int] | None = None
    rescale_factor: float | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def pixels(self, picture: Any) -> np.ndarray:
        """Return the pixels of a picture of Pillow, RGB: [3, height, width] float32."""
        if self.size is not None:
            height, width = self._resized(picture.height, picture.width)
            picture = picture.resize((width, height), resample=self.resample)
        pixels = np.moveaxis(np.array(picture), -1, 0)
        if self.crop_size is not None:
            pixels = _centre(pixels, int(self.crop_size["height"]), int(self.crop_size["width"]))
        if self.rescale_factor is not None:
            pixels = (pixels.astype(np.float64) * self.rescale_factor).astype(np.float32)
        pixels = pixels.astype(np.float32)
        if self.mean is not None and self.std is not None:
            mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
            pixels = (pixels - mean) / std
        return pixels

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a picture of some size is resized to."""
        assert self.size is not None
        if "shortest_edge" not in self.size:
            return int(self.size["height"]), int(self.size["width"])
        short = int(self.size["shortest_edge"])
        long = int(short * max(height, width) / min(height, width))
        return (long, short) if width <= height else (short, long)


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the centre of pixels [C, H, W], with zeros around where they are fewer: [C, height, width]."""
    found_height, found_width = pixels.shape[1:]
    most = max(height, found_height), max(width, found_width)
    # As Transformers does it: of an odd rest the greater half comes first.
    top, left = -(-(most[0] - found_height) // 2), -(-(most[1] - found_width) // 2)
    wide = np.zeros((len(pixels), *most), pixels.dtype)
    wide[:, top : top + found_height, left : left + found_width] = pixels
    top, left = (found_height - height) // 2 + top, (found_width - width) // 2 + left
    return wide[:, top : top + height, left : left + width]
