"""Python environments made by a test: with the packages of this one, but for some."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["make_environment", "run_in"]


def make_environment(folder: Path, without: Iterable[str], with_modules: Iterable[Path] = ()) -> Path:
    """Make a virtual environment that has the packages installed here, by links, without some of them.

    What an editable install leaves in ``site-packages`` (``__editable__*``, ``*.pth``) is no package and stays behind.

    Args:
        folder: Where it goes.
        without: Top-level names of the packages that are left out.
        with_modules: Folders of further packages that are linked into it.

    Returns:
        Its Python.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    # Windows has no lib/python3.x, but links there need rights that tests do not have anyway.
    target = next((folder / "lib").glob("python*")) / "site-packages"
    left_out = {"__pycache__", *without}
    sources = [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    for source in (path for place in sources for path in sorted(place.iterdir())):
        name = source.name.partition(".")[0].partition("-")[0]
        is_package = source.suffix != ".pth" and not name.startswith("__editable__")
        if is_package and name not in left_out and not (target / source.name).exists():
            (target / source.name).symlink_to(source)
    for module in with_modules:
        (target / module.name).symlink_to(module)
    return folder / "bin" / "python"


def run_in(python: Path, code: str, *arguments: str, cwd: Path) -> str:
    """Run code by an environment's Python, as if nothing of this process were there; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(python), "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=kept)
    assert done.returncode == 0, done.stderr
    return done.stdout
