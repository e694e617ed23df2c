"""Files of the command line: what can be read, what can be written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import is_replaceable, real_path, written_whole

__all__ = ["STANDARD", "check_readable", "check_writable", "write_whole"]

#: The name of stdin and stdout.
STANDARD = Path("-")


def check_readable(path: Path, may_be_folder: bool = False) -> None:
    """Check that an input exists before a model is loaded for it: a file, a pipe or a device, or a folder.

    Raises:
        ValueError: If it does not.
    """
    if path != STANDARD and (not os.path.exists(path) or (path.is_dir() and not may_be_folder)):
        raise UserError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}.")


def check_writable(path: Path, *, overwrite: bool = True) -> None:
    """Check that an output can be written before work is done for it.

    Args:
        path: The output.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        ValueError: If it cannot.
    """
    if path == STANDARD:
        return
    if path.is_dir():
        raise UserError(f"{path}: is a folder. Name a file in it.")
    if not is_replaceable(path):
        if not os.access(path, os.W_OK):
            raise UserError(f"{path}: no permission to write to it.")
        return
    target = real_path(path)
    shown = str(target.parent if path.is_symlink() else path.parent)
    if not target.parent.is_dir():
        raise UserError(f"{path}: the folder {shown!r} does not exist. Make it first.")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{path}: no permission to write in {shown!r}.")
    if target.exists() and not overwrite:
        raise UserError(f"{path}: already exists. Replace it with --overwrite, or name another file.")


@contextmanager
def write_whole(path: Path) -> Iterator[TextIO]:
    """Open an output for text; a regular file gets its name only when all is written. ``-`` is stdout."""
    if path == STANDARD:
        yield sys.stdout
        sys.stdout.flush()
        return
    with written_whole(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="backslashreplace", newline="\n")
        yield text
        text.flush()
        text.detach()
