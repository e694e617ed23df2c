"""Rows of a file as they are needed: JSON Lines, CSV, Parquet or plain text, by the ending of its name."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.cli._files import STANDARD
from hf_mtl.data import Row
from hf_mtl.inference import as_row
from hf_mtl_light.errors import UserError

__all__ = ["FIELDS", "INPUT_SCHEMA", "BadRow", "InputRow", "RowReader"]

#: The column of a table that holds what a line of JSON Lines has besides its input, as JSON: fields may differ from
#: line to line, columns may not.
FIELDS = "fields"
INPUT_SCHEMA = pa.schema([("text", pa.string()), ("text_pair", pa.string()), ("tokens", pa.list_(pa.string()))])
_CHOICES = pa.field("choices", pa.list_(pa.string()))
_TEXT_SCHEMA = pa.schema([("text", pa.string())])


@dataclass(frozen=True)
class InputRow:
    """A row that can be answered: its fields as they were read, and what the model reads of them."""

    values: dict[str, Any]
    row: Row


@dataclass(frozen=True)
class BadRow:
    """A row that cannot, and one line that says where it is and why not."""

    message: str


class _BadRowError(UserError):
    """What is wrong with a row."""


class RowReader:
    """Reads the rows of a file, a few at a time.

    Args:
        path: ``.csv`` and ``.tsv``: a header and texts; ``.parquet``; ``.txt``: a text a line; all else, and stdin
            (``-``): JSON Lines.
        text_column: The column that holds the text; ``None``: ``text``, or ``tokens``.
        pair_column: The column that holds the second text of a pair; ``None``: ``text_pair``, if it is there.
        has_choices: Whether a column ``choices`` is read, as the model's tasks do; else it is a field like others.
    """

    def __init__(
        self,
        path: Path,
        text_column: str | None = None,
        pair_column: str | None = None,
        has_choices: bool = False,
    ) -> None:
        self.path = path
        self.name = "stdin" if path == STANDARD else str(path)
        self.text_column, self.pair_column = text_column, pair_column
        self.has_choices = has_choices
        #: The input's columns in a table that is made of JSON Lines.
        self.inputs = INPUT_SCHEMA.append(_CHOICES) if has_choices else INPUT_SCHEMA
        self.format = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text"}.get(
            "" if path == STANDARD else path.suffix.lower(), "json"
        )

    def schema(self) -> pa.Schema:
        """Return the columns that the rows have in a table: the file's own; of JSON Lines the input and `FIELDS`.

        Raises:
            ValueError: If the file has no columns.
        """
        if self.format == "parquet":
            schema = self._parquet().schema_arrow.remove_metadata()
            plain = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema]
            return pa.schema(plain)
        if self.format == "csv":
            with _opened(self.path) as stream:
                return pa.schema([(name, pa.string()) for name in self._header(self._cells(stream))])
        if self.format == "text":
            return _TEXT_SCHEMA
        return self.inputs.append(pa.field(FIELDS, pa.string()))

    def __iter__(self) -> Iterator[InputRow | BadRow]:
        if self.format == "parquet":
            yield from self._table(enumerate(self._parquet_rows(), start=1))
            return
        with _opened(self.path) as stream:
            if self.format == "csv":
                yield from self._csv(stream)
            else:
                yield from self._lines(stream)

    def _lines(self, stream: BinaryIO) -> Iterator[InputRow | BadRow]:
        for number, line in enumerate(stream, start=1):
            where = f"{self.name}, line {number}"
            if self.format == "json" and not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                values = {"text": text.rstrip("\r\n")} if self.format == "text" else _object(text)
                yield self._row(values, where, number)
            except UnicodeDecodeError as error:
                yield BadRow(f"{where}: not UTF-8 text ({error.reason}).")
            except _BadRowError as error:
                yield BadRow(f"{where}: {error}")

    def _cells(self, stream: BinaryIO) -> Iterator[list[str]]:
        # Bytes that are not UTF-8 become halves of surrogate pairs, for which `_is_text` finds the row.
        csv.field_size_limit(2**31 - 1)  # else a text of 128 KB ends it all
        lines = (
            line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape")
            for number, line in enumerate(stream)
        )
        return csv.reader(lines, delimiter="\t" if self.path.suffix.lower() == ".tsv" else ",", strict=True)

    def _header(self, cells: Iterator[list[str]]) -> list[str]:
        names = next(cells, None)
        if not names:
            raise UserError(f"{self.name}: no header. The first line of a CSV file names its columns.")
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"{self.name}: the header names the column {name!r} twice.")
        return names

    def _csv(self, stream: BinaryIO) -> Iterator[InputRow | BadRow]:
        cells = self._cells(stream)
        names = self._header(cells)
        number = 0
        while True:
            number += 1
            try:
                row = next(cells)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(f"{self.name}, row {number}: not CSV ({error}).")
                continue
            if not row:
                number -= 1
            elif not _is_text(row):
                yield BadRow(f"{self.name}, row {number}: not UTF-8 text.")
            elif len(row) != len(names):
                yield BadRow(f"{self.name}, row {number}: {len(row)} cells for {len(names)} columns.")
            else:
                yield from self._table([(number, dict(zip(names, row, strict=True)))])

    def _parquet(self) -> pq.ParquetFile:
        try:
            # In small reads: else whole columns of a row group are held, however many rows it has.
            return pq.ParquetFile(self.path, buffer_size=1 << 20)
        except pa.ArrowInvalid as error:
            raise UserError(f"{self.name}: not a Parquet file ({str(error).splitlines()[0]})") from None

    def _parquet_rows(self) -> Iterator[dict[str, Any]]:
        with self._parquet() as file:
            for batch in file.iter_batches(batch_size=512):
                yield from batch.to_pylist()

    def _table(self, rows: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[InputRow | BadRow]:
        for number, values in rows:
            where = f"{self.name}, row {number}"
            try:
                yield self._row(values, where, number)
            except _BadRowError as error:
                yield BadRow(f"{where}: {error}")

    def _row(self, values: dict[str, Any], where: str, number: int) -> InputRow:
        given = self._input(values)
        if self.format == "csv":
            # CSV has no null: an empty cell is an empty text, but no second text and no words.
            given = {name: value for name, value in given.items() if value or name == "text"}
            given |= {name: _list(given[name]) for name in ("tokens", "choices") if name in given}
        tokens, text = given.get("tokens"), given.get("text")
        if tokens is not None:
            if not isinstance(tokens, list) or not all(isinstance(word, str) for word in tokens):
                raise _BadRowError(f"'tokens' must be a list of texts, found {_shown(tokens)}.")
        elif text is None:
            raise _BadRowError(self._missing(values))
        for field in ("text", "text_pair"):
            value = given.get(field)
            if value is not None and not isinstance(value, str):
                raise _BadRowError(f"{field!r} must be a text, found {_shown(value)}.")
        try:
            return InputRow(values, as_row(given, number, self.name))
        except ValueError as error:
            raise _BadRowError(str(error).partition(": ")[2]) from None

    def _input(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if self.text_column is None:
            names = {"tokens": "tokens", "text": "text", "text_pair": self.pair_column or "text_pair"}
        else:
            names = {"text": self.text_column}
            if self.pair_column is not None:
                names["text_pair"] = self.pair_column
        if self.has_choices:
            names["choices"] = "choices"
        return {name: values[column] for name, column in names.items() if values.get(column) is not None}

    def _missing(self, values: Mapping[str, Any]) -> str:
        fields = ", ".join(map(repr, values)) or "none"
        if self.text_column is not None:
            return f"no {self.text_column!r}. Fields: {fields}."
        return f"no 'text' and no 'tokens'. Fields: {fields}. --text-column names another."


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    with path.open("rb") as stream:
        yield stream


def _is_text(cells: Sequence[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise _BadRowError(f"not JSON ({error.msg}, column {error.colno}). Expected one object a line.") from None
    if not isinstance(values, dict):
        raise _BadRowError(f'expected an object such as {{"text": "..."}}, found {_shown(values)}.')
    return values


def _list(cell: str) -> Any:
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:80]
