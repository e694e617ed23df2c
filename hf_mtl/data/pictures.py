"""Pictures as datasets hold them, brought to one form: RGB, upright, 8 bits a channel."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from hf_mtl_light.encoding import Row, RowError
from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["PictureError", "picture_of", "read_picture"]


class PictureError(UserError):
    """What is not a picture, or a damaged one."""


def read_picture(value: Any) -> Any:
    """Return a picture as a `PIL.Image.Image` of mode RGB.

    It is turned as its EXIF orientation says. Transparency is laid over white, sixteen bits become eight, palettes,
    grey and CMYK become RGB.

    Args:
        value: A PIL image; a path; bytes of a file; or a mapping with ``bytes`` or ``path``, as `datasets.Image` stores
            them.

    Raises:
        PictureError: If it is none of these, cannot be decoded, or has no pixels.
        ImportError: If Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError("Reading pictures needs Pillow: pip install 'hf-mtl[vision]'.") from error
    if isinstance(value, Mapping):
        value = value["path"] if value.get("bytes") is None else value["bytes"]
    source = io.BytesIO(value) if isinstance(value, (bytes, bytearray)) else value
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source)
        image.load()
        image = ImageOps.exif_transpose(image)
    except FileNotFoundError as error:
        raise PictureError(f"no file {str(error.filename)!r}. Give the picture, or drop the row.") from None
    except Exception as error:  # whatever damaged files lead to in decoders
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"the picture cannot be read: {reason}. Give another, or drop the row.") from error
    if image.mode.startswith("I") or image.mode == "F":
        # More than eight bits: Pillow would cut them off at 255.
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")


def picture_of(row: Row) -> Any:
    """Return a row's picture: see `read_picture`.

    Raises:
        RowError: If it cannot be read.
    """
    try:
        return read_picture(row.image)
    except PictureError as error:
        raise RowError(row, str(error)) from error
