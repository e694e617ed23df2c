"""How many columns a file has, looked at before it is loaded: readers take minutes and gigabytes for 100,000."""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.data import MOST_COLUMNS
from hf_mtl.recipe._mistakes import RecipeError

__all__ = ["check_width", "local_files"]

#: Characters of a file's first line that are looked at.
_LOOK = 20_000_000
_REMEDY = {
    "csv": "Load the columns you need alone: load: {usecols: [...]}.",
    "parquet": "Load the columns you need alone: load: {columns: [...]}.",
    "json": "Write a file of the columns you need.",
}


def local_files(load: Mapping[str, Any]) -> dict[str | None, list[Path]]:
    """Return the files that ``load`` names, by split: those that lie here and that no reader unpacks first."""
    files = load.get("data_files")
    by_split = files if isinstance(files, Mapping) else {None: files}
    return {
        split: [
            Path(path)
            for name in ([names] if isinstance(names, str) else names or ())
            for path in (sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name])
            if Path(path).is_file()
        ]
        for split, names in by_split.items()
    }


def check_width(load: Mapping[str, Any], where: str) -> None:
    """Refuse files of more than `MOST_COLUMNS` columns.

    Args:
        load: The arguments of ``load_dataset``.
        where: Dotted path of ``load`` in the recipe.

    Raises:
        RecipeError: Naming the file.
    """
    kind = load["path"]
    if kind not in _REMEDY or load.get("usecols") is not None or load.get("columns") is not None:
        return
    for path in (path for paths in local_files(load).values() for path in paths):
        count = _columns(kind, path, load)
        if count > MOST_COLUMNS:
            raise RecipeError(
                where, f"{str(path)!r} has {count:,} columns, and at most {MOST_COLUMNS:,} are read. {_REMEDY[kind]}"
            )


def _columns(kind: str, path: Path, load: Mapping[str, Any]) -> int:
    """Return how many columns a file has, 0 where its first line does not show it."""
    try:
        if kind == "parquet":
            return len(pq.read_schema(path))
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline(_LOOK)
        if kind == "csv":
            separator = load.get("delimiter") or load.get("sep") or ","
            return line.count(separator) + 1
        row = json.loads(line)
        return len(row) if isinstance(row, dict) else 0
    except (ValueError, OSError, pa.ArrowException, RecursionError):
        return 0  # the reader says what is wrong with it
