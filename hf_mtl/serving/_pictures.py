"""Pictures in requests: files in base64, opened within limits and never by a name."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from hf_mtl.serving._settings import ServerSettings
from hf_mtl_light.encoding import Row, as_row
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.inference import Answerer
from hf_mtl_light.names import listed

__all__ = ["check_reads_pictures", "picture_from", "warming_rows"]

#: What tasks read that answer pictures.
_READ_PICTURES = {"image", "joint"}

#: What is opened; Pillow knows formats that run other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def picture_from(what: str, text: str, settings: ServerSettings) -> Any:
    """Return the picture of a request as a `PIL.Image.Image` whose pixels are not decoded yet.

    Args:
        what: What it is the picture of, for messages.
        text: Its file in base64, with or without the head of a ``data:`` URL.
        settings: The limits.

    Raises:
        UserError: If it is no picture, or has too many pixels.
        ImportError: If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("Reading pictures needs Pillow: pip install 'hf-mtl[vision]'.") from error
    head, comma, data = text.partition(",")
    if comma and not (head.startswith("data:") and head.endswith(";base64")):
        raise UserError(f"{what}: 'image' must be a picture's file in base64, or a data: URL of one in base64.")
    try:
        file = io.BytesIO(base64.b64decode(data if comma else text, validate=True))
    except (binascii.Error, ValueError):
        raise UserError(
            f"{what}: 'image' is not base64. Send the picture's file in base64; paths and addresses are not read."
        ) from None
    try:
        picture = Image.open(file, formats=_FORMATS)
    except Exception as error:  # whatever damaged files lead to in decoders, and the warning of a bomb as an error
        raise UserError(
            f"{what}: 'image' is not a picture that can be opened ({type(error).__name__}). Formats: "
            f"{', '.join(_FORMATS)}."
        ) from error
    if picture.width * picture.height > settings.max_pixels:
        raise UserError(
            f"{what}: the picture has {picture.width} x {picture.height} pixels; at most {settings.max_pixels:,} are "
            "taken. Send it smaller."
        )
    return picture


def check_reads_pictures(what: str, answerer: Answerer) -> None:
    """Refuse a picture that no task would answer.

    Args:
        what: What it is the picture of, for messages.
        answerer: The tasks that are asked.

    Raises:
        UserError: If none of them reads pictures.
    """
    known = [name for name, head in answerer.heads.items() if head.reads in _READ_PICTURES]
    if not any(name in known for name in answerer.names):
        remedy = f"Ask one that does: {listed(known)}." if known else "The model reads texts; leave the picture out."
        raise UserError(f"{what}: it has a picture, and no task that is asked reads pictures. {remedy}")


def warming_rows(answerer: Answerer) -> list[Row]:
    """Return a row of each kind that the model reads."""
    readings = {head.reads for head in answerer.heads.values()}
    rows = [] if readings == {"image"} else [as_row("warm", 0)]
    if readings & _READ_PICTURES:
        from PIL import Image

        rows.append(as_row(Image.new("RGB", (64, 64)), len(rows)))
    return rows
