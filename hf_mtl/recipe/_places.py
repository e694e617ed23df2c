"""Where in a file a row is: the line that an editor shows, looked up when a mistake is reported."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.recipe._width import local_files
from hf_mtl_light.errors import UserError

__all__ = ["place_in_file"]


def place_in_file(load: Mapping[str, Any], split: str | None, row: int) -> str:
    """Return the file and the line of a row, in brackets after a space; nothing where they are not known.

    Lines count from 1, as editors do, a CSV's header among them; a row of a CSV may take several.

    Args:
        load: The arguments of ``load_dataset``.
        split: The source's name of the split, or a slice of it; ``None`` where it has none.
        row: The row's number in the split, from 0.
    """
    files = local_files(load)
    paths = files.get(None if split is None else split.partition("[")[0], files.get(None, []))
    try:
        for path in paths:
            if load["path"] == "parquet":
                count = pq.read_metadata(path).num_rows
                if row < count:
                    return f" (row {row} of {path.name!r})"
                row -= count
                continue
            if load["path"] not in ("csv", "json"):
                return ""
            with _opened(path, load) as file:
                for number in _lines(file, load):
                    if row == 0:
                        return f" (line {number} of {path.name!r})"
                    row -= 1
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        pass  # the mistake is reported without its line
    return ""


@contextmanager
def _opened(path: Path, load: Mapping[str, Any]) -> Iterator[IO[str]]:
    encoding = load.get("encoding") or "utf-8-sig"
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding=encoding, newline="") as file:
            yield file
    else:
        with path.open(encoding=encoding, newline="") as file:
            yield file


def _lines(file: IO[str], load: Mapping[str, Any]) -> Iterator[int]:
    """Yield the number of the line at which each row begins."""
    if load["path"] == "json":
        for number, line in enumerate(file, 1):
            if number == 1 and line.lstrip()[:1] == "[":
                raise UserError("one list, not a row a line")
            if line.strip():
                yield number
        return
    if any(load.get(name) is not None for name in ("skiprows", "comment", "nrows", "escapechar", "lineterminator")):
        raise UserError("rows are left out")
    separator = load.get("delimiter") or load.get("sep") or ","
    limit = csv.field_size_limit(2**31 - 1)
    try:
        reader = csv.reader(file, delimiter=separator, quotechar=load.get("quotechar") or '"')
        has_header = load.get("header", 0) is not None and load.get("names", load.get("column_names")) is None
        yield from islice(_numbered(reader), int(has_header), None)
    finally:
        csv.field_size_limit(limit)


def _numbered(reader: Any) -> Iterator[int]:
    before = 0
    for record in reader:
        if record:  # pandas skips blank lines
            yield before + 1
        before = reader.line_num
