"""Outputs: a regular file appears whole or not at all; anything else is written to, never replaced.

A symbolic link stays, and its target is written. Files beside an output (unfinished ones, journals) are opened so that
a link that somebody put in their place is not followed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hf_mtl_light.errors import UserError

__all__ = [
    "clear_leftovers",
    "is_replaceable",
    "lock_file",
    "open_beside",
    "real_path",
    "write_text_whole",
    "written_whole",
]

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_LEFTOVER = re.compile(r"\.(?P<pid>\d+)\.tmp")
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def real_path(path: Path) -> Path:
    """Return the file that is written where a path is given: the target of a link, which need not exist.

    Raises:
        UserError: If links lead round in a circle.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise UserError(f"{path}: is a link that leads back to itself. Remove it, or name another output.")
    return target


def is_replaceable(path: Path) -> bool:
    """Return whether an output is a regular file or does not exist yet; else it is a device, a pipe, a terminal."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def open_beside(path: Path, *, is_new: bool = False) -> IO[bytes]:
    """Open a file that belongs to an output for reading and writing; it is made where it does not exist.

    Args:
        path: The file.
        is_new: Whether it must not exist yet.

    Raises:
        UserError: If it is a link, or anything but a regular file of one name.
    """
    flags = os.O_RDWR | os.O_CREAT | _NO_LINKS | _BINARY | getattr(os, "O_NONBLOCK", 0) | (os.O_EXCL if is_new else 0)
    if path.is_symlink():
        raise UserError(f"{path}: is a link, and would be followed. Remove it.")
    number = os.open(path, flags, 0o666)
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(number)
        raise UserError(f"{path}: is not a file that hf-mtl made. Remove it.")
    return os.fdopen(number, "r+b")


def clear_leftovers(target: Path) -> None:
    """Remove what killed processes left beside an output: files and folders ``.<name>.<process>.tmp``."""
    prefix = f".{target.name}"
    with suppress(OSError):
        for path in target.parent.iterdir():
            match = _LEFTOVER.fullmatch(path.name[len(prefix) :]) if path.name.startswith(prefix) else None
            if match and not _is_running(int(match["pid"])):
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_running(process: int) -> bool:
    if os.name != "posix" or process == os.getpid():
        return process == os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open an output for bytes. A regular file is written aside and gets its name, and its old mode, at the end.

    Args:
        path: The output; see the module for links and devices.

    Raises:
        OSError: If it cannot be written.
    """
    target = real_path(path)
    if not is_replaceable(path):
        with path.open("wb") as device:
            yield device
        return
    clear_leftovers(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with open_beside(temporary, is_new=True) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file as UTF-8: it appears whole or not at all. See `written_whole`."""
    with written_whole(path) as file:
        file.write(text.encode("utf-8"))


def lock_file(file: IO[bytes]) -> bool:
    """Lock an open file for this process until it is closed; return whether no other process has it.

    On Windows nothing is locked.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
