"""What a kill would leave on the disk, at every place where it matters, from one run."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["states_at_kills"]

#: The calls before which a process may be killed.
_CALLS = ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "fsync", "link")


def states_at_kills(folder: Path, states: Path, action: Callable[[], object]) -> list[Path]:
    """Do something in a child process, and return what a kill before each of its calls would have left of a folder.

    The folder is copied before every call that renames, removes, makes or flushes something, where it differs from
    the copy before. What lies in buffers of the process is not on the disk, so not in a copy either. One run gives
    all copies, and the process is gone when they are looked at.

    Args:
        folder: The folder that is watched. Afterwards it is as the action leaves it.
        states: Where the copies go.
        action: What is done; it may raise ``SystemExit(0)``.

    Returns:
        The copies in the order of the calls; the last is that of the end.
    """
    states.mkdir()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            _hook(folder, states)
            action()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the action ended with {status}"
    found = sorted(states.iterdir(), key=lambda path: int(path.name))
    found.append(Path(shutil.copytree(folder, states / str(len(found)), symlinks=True)))
    assert len(found) > 3, "hardly a state was seen"
    return found


def _hook(folder: Path, states: Path) -> None:
    originals = {name: getattr(os, name) for name in _CALLS}
    last: list[Any] = []

    def hooked(call: Any) -> Any:
        def hook(*args: Any, **kwargs: Any) -> Any:
            listing = _listing(folder)
            if listing not in last[-1:]:
                for name, original in originals.items():
                    setattr(os, name, original)
                shutil.copytree(folder, states / str(len(last)), symlinks=True)
                last.append(listing)
                for name, original in originals.items():
                    setattr(os, name, hooked(original))
            return call(*args, **kwargs)

        return hook

    for name, original in originals.items():
        setattr(os, name, hooked(original))


def _listing(folder: Path) -> list[tuple[str, bytes]]:
    """Return what a folder holds: names, and a digest of each file."""
    below = sorted(folder.rglob("*"))
    return [(str(path), hashlib.md5(path.read_bytes()).digest() if path.is_file() else b"") for path in below]
