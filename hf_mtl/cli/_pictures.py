"""Pictures as inputs of the command line: a folder of them, one file, a column of paths or of bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_mtl_light.errors import UserError

__all__ = ["PICTURE_ENDINGS", "is_of_pictures", "local_path", "path_beside", "pictures_in", "shown_picture"]

#: How the names of files end that are read as pictures.
_ENDINGS = "avif bmp gif jfif jpe jpeg jpg pbm pgm png pnm ppm tif tiff webp"
PICTURE_ENDINGS = frozenset(f".{ending}" for ending in _ENDINGS.split())


def is_of_pictures(path: Path) -> bool:
    """Return whether an input is a picture or a folder of pictures."""
    return path.is_dir() or path.suffix.lower() in PICTURE_ENDINGS


def pictures_in(path: Path) -> list[str]:
    """Return the paths of the pictures in a folder and those below it, in the order of their names; of a file its own.

    Other files are passed over, and so is what is hidden.

    Raises:
        ValueError: If there are none.
    """
    if not path.is_dir():
        return [str(path)]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        endings = ((name, os.path.splitext(name)[1].lower()) for name in names if not name.startswith("."))
        found += [os.path.join(folder, name) for name, ending in endings if ending in PICTURE_ENDINGS]
    if not found:
        raise UserError(f"{path}: no pictures in it. Their names end in {', '.join(sorted(PICTURE_ENDINGS))}.")
    return sorted(found)


def local_path(given: str) -> Path:
    """Return an input's path, which may be a URL of ``file:``."""
    if given[:5].lower() == "file:":
        from hf_mtl.data import path_of_url

        path = path_of_url(given)
        return Path(given if path is None else path)
    return Path(given)


def path_beside(value: Any, source: Path) -> Any:
    """Return the picture of a row: a path that leads nowhere from here is taken from the folder of its file."""
    if isinstance(value, Mapping) and value.get("bytes") is None:
        value = value.get("path")
    if not isinstance(value, str) or ":" in value[:6] or os.path.isabs(value) or os.path.exists(value):
        return value
    there = source.parent / value
    return str(there) if there.exists() else value


def shown_picture(value: Any) -> Any:
    """Return a value of an input for an output that holds text alone: of a picture its path, of bytes their number."""
    if isinstance(value, Mapping) and value.keys() == {"bytes", "path"}:
        return value["path"]
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else value
