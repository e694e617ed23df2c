"""Files of the command line: what is there, what can be written; an output appears whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hf_mtl_light.errors import UserError

__all__ = ["STANDARD", "check_readable", "check_writable", "write_whole"]

#: The name of stdin and stdout.
STANDARD = Path("-")


def check_readable(path: Path) -> None:
    """Check that an input exists before a model is loaded for it.

    Raises:
        ValueError: If there is no such file.
    """
    if path != STANDARD and not path.is_file():
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}.")


def check_writable(path: Path) -> None:
    """Check that an output can be written before work is done for it.

    Raises:
        ValueError: If it cannot.
    """
    if path == STANDARD:
        return
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {str(path.parent)!r} does not exist. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: no permission to write in {str(path.parent)!r}.")


@contextmanager
def write_whole(path: Path) -> Iterator[TextIO]:
    """Open an output; a file gets its name only when all is written. ``-`` is stdout."""
    if path == STANDARD:
        yield sys.stdout
        sys.stdout.flush()
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
