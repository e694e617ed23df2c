"""Pictures as datasets hold them, brought to one form: RGB, upright, 8 bits a channel."""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["PictureError", "path_of_url", "picture_size", "read_picture"]

#: How many times as long as wide a picture may be: resized by its shorter edge, a longer one would fill the memory.
_LONGEST = 200
#: The number of the orientation among the tags of EXIF.
_ORIENTATION = 0x0112


class PictureError(UserError):
    """What is not a picture, or a damaged one."""


def read_picture(value: Any) -> Any:
    """Return a picture as a `PIL.Image.Image` of mode RGB.

    It is turned as its EXIF orientation says. Transparency is laid over white, sixteen bits become eight, palettes,
    grey and CMYK become RGB. Of several frames or pages the first is read.

    Args:
        value: A PIL image; a path, or a URL of ``file:`` or ``data:``; bytes of a file; a mapping with ``bytes`` or
            ``path``, as `datasets.Image` stores them; or an array of uint8, [height, width] or [height, width,
            channels].

    Raises:
        PictureError: If it is none of these, cannot be decoded, or has no pixels.
        ImportError: If Pillow is not installed.
    """
    return _read(value, _upright_rgb)


def picture_size(value: Any) -> tuple[int, int]:
    """Return the width and height of a picture seen upright, in pixels, without decoding it.

    Args:
        value: See `read_picture`.

    Raises:
        PictureError: If it is no picture.
        ImportError: If Pillow is not installed.
    """
    size: tuple[int, int] = _read(value, _upright_size)
    return size


def _read(value: Any, read: Callable[[Any], Any]) -> Any:
    """Return what a function reads of a picture of Pillow."""
    try:
        image_module = import_module("PIL.Image")
    except ImportError as error:
        raise MissingExtraError("Reading pictures needs Pillow: pip install 'hf-mtl[vision]'.") from error
    if isinstance(value, Mapping):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    source, name = _source(value)
    try:
        if isinstance(source, image_module.Image):
            return read(source)
        if hasattr(source, "__array_interface__"):
            return read(image_module.fromarray(source))
        with image_module.open(source) as opened:
            return read(opened)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"no file {str(error.filename)!r}. Give the picture, or drop the row.") from None
    except Exception as error:  # whatever damaged files lead to in decoders
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(source, io.BytesIO):  # its place in memory says nothing
            reason = reason.replace(f" {source!r}", "")
        raise PictureError(f"the picture {name}cannot be read: {reason}. Give another, or drop the row.") from error


def path_of_url(url: str) -> str | None:
    """Return the path that a URL of ``file:`` names; ``None``: one of another machine."""
    split = urlsplit(url)
    return url2pathname(split.path) if split.netloc in ("", "localhost") else None


def _source(value: Any) -> tuple[Any, str]:
    """Return what Pillow opens, and what it is called in messages, with a space after it."""
    if isinstance(value, (bytes, bytearray)):
        return io.BytesIO(value), ""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        if hasattr(value, "getbands") or hasattr(value, "__array_interface__"):
            return value, ""
        raise PictureError(
            f"expected a picture of Pillow, a path, bytes or an array, found a {type(value).__name__}. Give a picture, "
            "or drop the row."
        )
    kind = value[: value.find(":")].lower() if ":" in value[:6] else ""
    if kind == "file":
        path = path_of_url(value)
        if path is None:
            raise PictureError(f"{value!r} lies on another machine. Copy the picture, or drop the row.")
        return path, f"{path!r} "
    if kind == "data":
        head, _, data = value.partition(",")
        try:
            of_bytes = unquote_to_bytes(data)
            return io.BytesIO(base64.b64decode(of_bytes, validate=True) if head.endswith(";base64") else of_bytes), ""
        except binascii.Error as error:
            raise PictureError(f"the picture is not base64: {error}. Give another, or drop the row.") from None
    if value.lower().startswith(("http://", "https://")):
        raise PictureError(f"{value[:200]!r} is not fetched. Download the picture and give its path, or drop the row.")
    return value, f"{value[:200]!r} "


def _upright_rgb(image: Any) -> Any:
    image_module, operations = import_module("PIL.Image"), import_module("PIL.ImageOps")
    image.load()
    short, long = sorted(image.size)
    if not short:
        raise PictureError(
            f"the picture has no pixels ({image.width} x {image.height}). Give another, or drop the row."
        )
    if long > _LONGEST * short:
        raise PictureError(
            f"the picture is {image.width} x {image.height} pixels, and no side may be more than {_LONGEST} times as "
            "long as the other. Crop it, or drop the row."
        )
    image = operations.exif_transpose(image)
    if image.mode == "F":
        raise PictureError(
            "the picture's pixels are floating-point numbers of an unknown range. Store it with 8 or 16 bits, or drop "
            "the row."
        )
    if image.mode.startswith("I"):
        # More than eight bits: Pillow would cut them off at 255. A transparent level is one of sixteen bits, too.
        image.info.pop("transparency", None)
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = image_module.new("RGBA", image.size, "white")
        image = image_module.alpha_composite(ground, image)
    return image.convert("RGB")


def _upright_size(image: Any) -> tuple[int, int]:
    width, height = image.size
    # From 5 on the picture lies on its side.
    is_turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if is_turned else (width, height)
