"""Files in another encoding than a recipe says: named with what to set, whichever reader finds the wrong byte."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset, DatasetDict

from hf_mtl.recipe._mistakes import RecipeError
from hf_mtl.recipe._width import local_files

__all__ = ["check_texts", "wrong_encoding"]

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open}
#: Not unpacked here.
_PACKED = (".zip", ".zst", ".lz4", ".7z", ".tar", ".rar")
_UNREADABLE = (OSError, EOFError, LookupError, lzma.LZMAError)


def wrong_encoding(load: Mapping[str, Any], where: str, error: BaseException) -> RecipeError | None:
    """Return what to say where ``load_dataset`` failed because of a byte that is no text; else ``None``.

    Args:
        load: The arguments of ``load_dataset``.
        where: Dotted path of ``load`` in the recipe.
        error: What it raised.
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UnicodeDecodeError):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else _mistake(load, where)


def check_texts(load: Mapping[str, Any], where: str, found: Any) -> None:
    """Check that the texts of JSON are texts: Arrow keeps their bytes, and would find a wrong one when its row is read.

    Args:
        load: The arguments of ``load_dataset``.
        where: Dotted path of ``load`` in the recipe.
        found: What it gave.

    Raises:
        RecipeError: Naming the file.
    """
    if load["path"] != "json" or not isinstance(found, Dataset | DatasetDict):
        return
    try:
        for rows in found.values() if isinstance(found, DatasetDict) else (found,):
            rows.data.table.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _mistake(load, where) from error


def _mistake(load: Mapping[str, Any], where: str) -> RecipeError:
    """Look for the file that is not in its encoding, and say so."""
    encoding = load.get("encoding") or "utf-8"
    paths = list(itertools.chain.from_iterable(local_files(load).values()))
    for path in paths:
        byte = _wrong_byte(path, encoding)
        if byte is not None:
            remedy = "Give its own encoding, such as encoding: latin-1."
            return RecipeError(where, f"{path.name!r} is not text in {encoding} (byte {byte:#04x}). {remedy}")
    names = ", ".join(repr(path.name) for path in paths[:5]) or repr(load.get("data_files", load["path"]))
    what = f"one of {names}" if len(paths) != 1 else names
    remedy = "Give its own encoding, such as encoding: latin-1, or write it unpacked, in UTF-8."
    return RecipeError(where, f"{what} is not read as text in {encoding}. {remedy}")


def _wrong_byte(path: Path, encoding: str) -> int | None:
    """Return the first byte of a file that is no text; ``None`` if there is none, or the file cannot be unpacked."""
    if path.suffix in _PACKED:
        return None
    try:
        with _OPENERS.get(path.suffix, open)(path, "rt", encoding=encoding, newline="") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError as error:
        byte: int = error.object[error.start]
        return byte
    except _UNREADABLE:
        pass
    return None
