"""What the beginning of a data file shows before it is loaded, and what its reader would pass over in silence."""

from __future__ import annotations

import codecs
import csv
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.recipe._mistakes import RecipeError
from hf_mtl.recipe._width import local_files

__all__ = ["check_headers"]

logger = logging.getLogger(__name__)

#: Arguments of CSV by which columns have other names than those of the first line.
_OWN_NAMES = ("names", "header", "skiprows", "comment", "quotechar", "quoting", "escapechar", "dialect")
_SEPARATORS = (";", "\t", "|")
#: Bytes of a file that are looked at.
_LOOK = 1 << 20


def check_headers(load: Mapping[str, Any], where: str, columns: Collection[str]) -> None:
    """Check that files have each column once, separated as the recipe says, and rows.

    Pandas reads the second of two columns of a name as another, without a word.

    Args:
        load: The arguments of ``load_dataset``.
        where: Dotted path of ``load`` in the recipe.
        columns: The columns that the recipe uses.

    Raises:
        RecipeError: Naming file and column.
    """
    kind = load["path"]
    for path in (path for paths in local_files(load).values() for path in paths):
        try:
            if kind == "parquet":
                _check_parquet(path, where)
            elif kind == "csv" and not any(load.get(name) is not None for name in _OWN_NAMES):
                _check_csv(path, load, where, columns)
        except (OSError, ValueError, csv.Error, pa.ArrowException, LookupError) as error:
            if isinstance(error, RecipeError):
                raise
            continue  # the reader says what is wrong with it
        if kind in ("csv", "json", "text") and load.get("encoding"):
            _warn_of_encoding(path, load["encoding"], where)


def _check_parquet(path: Path, where: str) -> None:
    with pq.ParquetFile(path) as file:
        rows, names = file.metadata.num_rows, file.schema_arrow.names
    if not rows:
        raise RecipeError(where, f"{path.name!r} has no rows. Leave it out, or fill it.")
    _check_once(path, where, names, names)


def _check_csv(path: Path, load: Mapping[str, Any], where: str, columns: Collection[str]) -> None:
    separator = load.get("delimiter") or load.get("sep") or ","
    with path.open(encoding=load.get("encoding") or "utf-8", newline="") as file:
        text = file.read(_LOOK).removeprefix("\ufeff")
    line = next((line for line in text.splitlines() if line.strip()), "")
    for other in _SEPARATORS:
        names = next(csv.reader([line], delimiter=other))
        if separator not in line and set(columns) <= set(names):
            raise RecipeError(
                where, f"the columns of {path.name!r} are separated by {other!r}. Say so: load: {{sep: {other!r}}}."
            )
    if len(separator) == 1:
        _check_once(path, where, next(csv.reader([line], delimiter=separator), []), columns)


def _check_once(path: Path, where: str, names: Collection[str], columns: Collection[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1 and name in columns:
            raise RecipeError(
                where, f"{path.name!r} has {count} columns {name!r}. Rename them, so that each has a name."
            )


def _warn_of_encoding(path: Path, encoding: str, where: str) -> None:
    """Warn of UTF-8 that is read by another encoding, in which each byte is a character."""
    try:
        if codecs.lookup(encoding).name.startswith(("utf", "ascii")):
            return
        with path.open("rb") as file:
            text = codecs.getincrementaldecoder("utf-8")().decode(file.read(_LOOK))
    except (OSError, ValueError, LookupError):
        return
    if not text.isascii():
        logger.warning(
            "%s: %r is valid UTF-8, which encoding: %s reads as other characters. Leave encoding out.",
            *(where, path.name, encoding),
        )
