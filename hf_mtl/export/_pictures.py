"""What an exported graph of pictures is given: how they become pixels, checked against the image processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hf_mtl.data import pixels_of, read_picture
from hf_mtl_light.errors import UserError
from hf_mtl_light.pixels import PixelDescription

__all__ = ["describe_pixels", "made_up_pictures"]

#: The most that a level may differ from the image processor's, whose filters differ from Pillow's where torchvision
#: makes them. Normalised levels lie between -3 and 3.
_BOUND = 0.1


def describe_pixels(image_processor: Any) -> tuple[PixelDescription, tuple[int, int, int]]:
    """Return how an image processor makes pixels, and their channels, height and width.

    Raises:
        ValueError: If it does more than resize, cut out the centre, rescale and normalise, or pictures of different
            sizes stay different.
    """
    given: dict[str, Any] = image_processor.to_dict()

    def of(flag: str, name: str) -> Any:
        return given.get(name) if given.get(flag) else None

    description = PixelDescription(
        size=_plain(of("do_resize", "size")),
        resample=int(given.get("resample") or 2),
        crop_size=_plain(of("do_center_crop", "crop_size")),
        rescale_factor=of("do_rescale", "rescale_factor"),
        mean=_listed(of("do_normalize", "image_mean")),
        std=_listed(of("do_normalize", "image_std")),
    )
    name, shapes = type(image_processor).__name__, set()
    for picture in _pictures():
        expected = pixels_of(image_processor, [picture])[0].numpy()
        shapes.add(expected.shape)
        try:
            found = description.pixels(picture)
            is_same = found.shape == expected.shape and float(np.abs(found - expected).max()) <= _BOUND
        except (KeyError, TypeError, ValueError):
            is_same = False
        if not is_same:
            raise UserError(
                f"The image processor {name} does more than resize, cut out the centre, rescale and normalise, which "
                "is what pictures become pixels by where a graph is used. Export the tasks of texts, or this one as a "
                "stock model (--to transformers)."
            )
    if len(shapes) > 1:
        raise UserError(
            f"The image processor {name} gives pictures of different sizes, and a graph takes one. Save it with "
            "size={'height': ..., 'width': ...}, or with do_center_crop."
        )
    channels, height, width = shapes.pop()
    return description, (channels, height, width)


def _plain(size: Any) -> dict[str, int] | None:
    """Return a size as JSON knows it, without what is not given."""
    if not isinstance(size, Mapping):
        return None
    return {str(name): int(value) for name, value in size.items() if value is not None}


def _listed(values: Any) -> list[float] | None:
    if values is None:
        return None
    return [float(value) for value in (values if hasattr(values, "__len__") else [values] * 3)]


def _pictures() -> list[Any]:
    """Return pictures of several shapes, smooth enough for any filter."""
    found = []
    for height, width in ((300, 421), (512, 300), (37, 53)):
        rows, columns = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
        levels = [rows + 0 * columns, 0 * rows + columns, rows * columns]
        found.append(read_picture(np.stack([(255 * level).astype(np.uint8) for level in levels], -1)))
    return found


def made_up_pictures(shape: tuple[int, int, int]) -> list[dict[str, torch.Tensor]]:
    """Return batches of random pixels.

    Args:
        shape: Channels, height and width.
    """
    generator = torch.Generator().manual_seed(0)
    return [{"pixel_values": torch.randn(count, *shape, generator=generator)} for count in (1, 3, 8)]
