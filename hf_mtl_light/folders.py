"""A model's files replaced in a folder that holds other things, too: all of them or none, also after a kill.

The new files lie in a folder inside until they are on the disk. Renaming that folder is the one step that decides;
afterwards its files are moved to their places, and whoever finds them unmoved moves them first: `finish_replacing`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hf_mtl_light.errors import UserError

__all__ = ["files_replaced", "finish_replacing", "replace_files", "staging_in"]

_NEW, _DECIDED, _NAMES, _REMOVED = ".hf_mtl.new", ".hf_mtl.decided", ".files", ".removed"
#: Weights that an earlier model may have left, in other files than those of the new one.
_WEIGHTS = re.compile(
    r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?|hf_mtl_\w+\.py|adapter_(model\.safetensors|config\.json)"
)


@contextmanager
def files_replaced(folder: Path, removed: Callable[[Path], Iterable[str]] | None = None) -> Iterator[Path]:
    """Yield where a model's files are written: a folder that holds a model already gets all of them at once.

    Without a model there is none to be mixed with the new one: files go straight to their places then.

    Args:
        folder: The model's folder; it need not exist.
        removed: From the folder of the new files to the names of others that go with the old model.
    """
    finish_replacing(folder)
    if not (folder / "config.json").exists():
        yield folder
        return
    staging = staging_in(folder)
    try:
        yield staging
        replace_files(staging, folder, () if removed is None else removed(staging))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def staging_in(folder: Path) -> Path:
    """Return an empty folder for the new files of a folder, after finishing or clearing what a kill left there."""
    finish_replacing(folder)
    staging = folder / _NEW
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def replace_files(new: Path, folder: Path, removed: Iterable[str] = ()) -> None:
    """Replace a folder's files by new ones; weights and code of the old model that have no successor go.

    Args:
        new: A folder on the same disk; it is gone afterwards.
        folder: The folder. What else it holds stays.
        removed: Names of further files of the old model that go with it, such as its results.
    """
    (new / _REMOVED).write_text("\n".join(removed), encoding="utf-8")
    names = sorted(str(path.relative_to(new)) for path in new.rglob("*") if path.is_file() and path.name != _REMOVED)
    (new / _NAMES).write_text("\n".join(names), encoding="utf-8")
    for path in [*new.rglob("*"), new]:
        _flush(path)
    finish_replacing(folder)
    os.rename(new, folder / _DECIDED)
    _flush(folder)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> bool:
    """Move files to their places that were to be moved when a process was killed; return whether there were any.

    Raises:
        UserError: If they cannot be moved.
    """
    decided = folder / _DECIDED
    if not decided.is_dir():
        return False
    try:
        names = (decided / _NAMES).read_text(encoding="utf-8").split("\n")
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # moved before the kill, or by another process
                os.replace(decided / name, folder / name)
        going = set()
        with suppress(FileNotFoundError):  # an earlier version wrote none
            going.update((decided / _REMOVED).read_text(encoding="utf-8").split("\n"))
        for path in list(folder.iterdir()):
            if (_WEIGHTS.fullmatch(path.name) or path.name in going) and path.name not in names:
                path.unlink(missing_ok=True)
        _flush(folder)
    except FileNotFoundError:
        if decided.is_dir() and (decided / _NAMES).exists():
            raise
        # Another process has finished, or this was killed after the last file.
    except OSError as error:
        raise UserError(
            f"{folder}: a model was being replaced here when its process ended, and the rest cannot be moved: {error}. "
            "Load it once where the folder can be written."
        ) from error
    shutil.rmtree(decided, ignore_errors=True)
    return True


def _flush(path: Path) -> None:
    if path.is_dir() and os.name != "posix":  # folders cannot be opened elsewhere
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
