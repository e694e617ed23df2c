"""A bug's traceback in a file, so that the terminal shows one line and nothing is lost."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from hf_mtl_light.text import redacted

__all__ = ["report_crashes_in", "write_report"]

_folder: Path | None = None


def report_crashes_in(folder: Path | None) -> None:
    """Let a crash of this process be reported in a folder, such as a run's; ``None``: in the temporary one."""
    global _folder  # one process has one command line
    _folder = folder


def write_report(error: BaseException, args: Sequence[str]) -> Path | None:
    """Write an error's traceback to a new file and return its name; ``None`` where nothing can be written.

    Args:
        error: The error.
        args: The command's arguments; secrets in them are left out.
    """
    lines = [
        f"hf-mtl {version('hf-mtl')}, Python {platform.python_version()}, {platform.platform()}",
        *(f"{name} {version(name)}" for name in ("torch", "transformers", "datasets")),
        f"hf-mtl {' '.join(args)}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    for folder in (_folder, Path(tempfile.gettempdir())):
        if folder is not None and folder.is_dir():
            with suppress(OSError):
                number, name = tempfile.mkstemp(prefix="hf-mtl-crash-", suffix=".txt", dir=folder)
                with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as stream:
                    stream.write(str(redacted("\n".join(lines))))
                return Path(name)
    print("\n".join(lines), file=sys.stderr)
    return None
