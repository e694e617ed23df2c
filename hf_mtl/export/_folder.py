"""An exported folder: there whole, or not there."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import clear_leftovers, real_path

__all__ = ["check_folder", "written_whole"]

#: What an export writes. Only a folder with these files may be replaced.
_MARKS = ("config.json", "tasks.json")


def check_folder(folder: str | Path, overwrite: bool = False, source: str | Path | None = None) -> None:
    """Check that a folder can be written, before work is done for it.

    Args:
        folder: The folder to be.
        overwrite: Whether an earlier export there may be replaced.
        source: The folder that is exported, which must not be replaced.

    Raises:
        ValueError: If it cannot.
    """
    folder = Path(folder)
    _recover(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"{str(existing)!r} is a file, not a folder. Choose another.")
    if source is not None and Path(source).is_dir():
        mine, theirs = real_path(folder), Path(source).resolve()
        if mine == theirs or mine in theirs.parents:
            raise UserError(f"{str(folder)!r} holds the model that is to be exported. Choose another folder.")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise UserError(f"{str(folder)!r} is not empty. Replace it with --overwrite, or choose another folder.")
        if not any((folder / name).is_file() for name in _MARKS):
            raise UserError(
                f"{str(folder)!r} holds no exported model (no {' and no '.join(_MARKS)}), so it is not replaced. "
                "Choose another folder."
            )
    if not os.access(existing, os.W_OK):
        raise UserError(f"{str(folder)!r}: no permission to write in {str(existing)!r}.")


@contextmanager
def written_whole(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder to write to; it gets its name only when all is written.

    Args:
        folder: The name. Folders above it are made.
        overwrite: Whether an earlier export there is replaced.

    Raises:
        ValueError: As `check_folder`.
    """
    folder = Path(folder)
    check_folder(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    replaced = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        unfinished.mkdir()
        yield unfinished
        if folder.exists():
            folder.rename(replaced)
        try:
            unfinished.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _recover(folder: Path) -> None:
    """Bring back an export whose replacement was killed between two renames, and clear what it left."""
    with suppress(OSError):
        for old in folder.parent.glob(f".{glob.escape(folder.name)}.*.old"):
            if not folder.exists():
                old.rename(folder)
            elif any((folder / name).is_file() for name in _MARKS):
                shutil.rmtree(old, ignore_errors=True)
    clear_leftovers(folder)
