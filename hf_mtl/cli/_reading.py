"""Rows of a file as they are needed: JSON Lines, CSV, Parquet or plain text, by the ending of its name."""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.cli._files import STANDARD
from hf_mtl.cli._pictures import is_of_pictures, path_beside, pictures_in
from hf_mtl.data import Row
from hf_mtl.inference import as_row
from hf_mtl_light.errors import UserError, library_errors_name
from hf_mtl_light.words import Reading

__all__ = ["FIELDS", "INPUT_SCHEMA", "BadRow", "InputRow", "RowReader"]

#: The column of a table that holds what a line of JSON Lines has besides its input, as JSON: fields may differ from
#: line to line, columns may not.
FIELDS = "fields"
INPUT_SCHEMA = pa.schema([("text", pa.string()), ("text_pair", pa.string()), ("tokens", pa.list_(pa.string()))])
_CHOICES = pa.field("choices", pa.list_(pa.string()))
#: Bounds: beyond them a row is refused, before it fills memory. Characters, bytes, columns.
_LONGEST_TEXT, _LONGEST_LINE, _MOST_COLUMNS = 2_000_000, 64 << 20, 10_000
_FORMATS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".txt": "text", ".json": "json", ".jsonl": "json"}
_ENCODING = "Name the file's encoding with --encoding, such as cp1252."
#: Formats that are not text, as messages name them.
_BYTES = {"parquet": "Parquet", "pictures": "made of pictures"}
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
        path: A folder of pictures, or a picture;
            ``.csv`` and ``.tsv``: a header and texts; ``.parquet``; ``.txt``: a text a line; all else, and stdin
            (``-``): JSON Lines if the first line begins with a brace, else a text a line.
        text_column: The column that holds the text; ``None``: ``text``, or ``tokens``.
        pair_column: The column that holds the second text of a pair; ``None``: ``text_pair``, if it is there.
        readings: What the model's tasks read. A column ``choices`` is read where they do; else it is a field like
            others. The same holds for that of pictures.
        encoding: The encoding of all but Parquet.
        format: ``json``, ``text``, ``csv``, ``tsv`` or ``parquet``; ``None``: by the path's ending.
        image_column: The column that holds pictures; ``None``: ``image``.

    Raises:
        UserError: If Python does not know the encoding.
    """

    def __init__(
        self,
        path: Path,
        text_column: str | None = None,
        pair_column: str | None = None,
        readings: Collection[Reading] = frozenset[Reading]({"text"}),
        encoding: str = "utf-8",
        format: str | None = None,
        image_column: str | None = None,
    ) -> None:
        self.path = path
        try:
            self.encoding = codecs.lookup(encoding).name
        except LookupError:
            raise UserError(f"--encoding: Python does not know {encoding!r}. Known are utf-8, cp1252.") from None
        self.name = "stdin" if path == STANDARD else str(path)
        self.text_column, self.pair_column = text_column, pair_column
        self.readings, self.image_column = set(readings), image_column or "image"
        #: The input's columns in a table that is made of JSON Lines.
        self.inputs = INPUT_SCHEMA
        if "choices" in readings:
            self.inputs = self.inputs.append(_CHOICES)
        if "image" in readings:
            self.inputs = self.inputs.append(pa.field(self.image_column, pa.string()))
        ending = "" if path == STANDARD else path.suffix.lower()
        self._separator = "\t" if "tsv" in (format, ending[1:] if format is None else "") else ","
        self._is_pipe = path == STANDARD or not path.is_file()
        #: Lines of a pipe, which can be read once.
        self._piped: Iterator[bytes] | None = None
        self.format = {"tsv": "csv"}.get(format or "", format) or _FORMATS.get(ending) or self._guessed()
        if self.format == "pictures" and "image" not in readings:
            raise UserError(f"{self.name}: the tasks that are asked read no pictures. Name a file of texts.")
        if self.format in _BYTES and self.encoding != "utf-8":
            raise UserError(f"--encoding would be without effect: {self.name} is {_BYTES[self.format]}. Leave it out.")
        if self.format == "parquet" and self._is_pipe:
            raise UserError(f"{self.name}: Parquet cannot be read from a pipe. Write it to a file first.")

    def _guessed(self) -> str:
        """Return the format that the first line shows; where JSON Lines are missing braces, their row says so."""
        if self.path != STANDARD and is_of_pictures(self.path):
            return "pictures"
        if not self._is_pipe:
            return "json"
        lines = self._lines_of_bytes()
        first = []
        for line in lines:
            first.append(line)
            if line.removeprefix(codecs.BOM_UTF8).strip():
                break
        self._piped = chain(first, lines)
        return "json" if not first or first[-1].removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[") else "text"

    def count(self) -> int | None:
        """Return the number of rows, where it is known without reading them."""
        if self.format == "pictures":
            return len(self._pictures)
        return int(self._parquet().metadata.num_rows) if self.format == "parquet" else None

    @cached_property
    def _pictures(self) -> list[str]:
        return pictures_in(self.path)

    def _lines_of_bytes(self) -> Iterator[bytes]:
        """Yield lines in UTF-8; of a pipe those that were not read yet."""
        if self._piped is not None:
            lines, self._piped = self._piped, None
            yield from lines
            return
        with _opened(self.path) as stream:
            try:
                if self.encoding == "utf-8":
                    yield from _bounded(stream, self.name)
                    return
                text = io.TextIOWrapper(stream, encoding=self.encoding, newline="\n")
                try:
                    for line in text:
                        yield line.encode("utf-8", "surrogatepass")
                finally:
                    text.detach()
            except UnicodeError as error:
                raise UserError(f"{self.name}: is not in {self.encoding} ({error}). Name another --encoding.") from None

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
            lines = self._lines_of_bytes()
            seen: list[bytes] = []
            names = self._header(self._cells(line for line in lines if seen.append(line) is None))  # type: ignore[func-returns-value]
            if self._is_pipe:
                self._piped = chain(seen, lines)
            return pa.schema([(name, pa.string()) for name in names])
        if self.format == "text":
            return _TEXT_SCHEMA
        if self.format == "pictures":
            return pa.schema([("image", pa.string())])
        return self.inputs.append(pa.field(FIELDS, pa.string()))

    def __iter__(self) -> Iterator[InputRow | BadRow]:
        if self.format == "parquet":
            yield from self._table(enumerate(self._parquet_rows(), start=1))
            return
        if self.format == "pictures":
            yield from self._table((number, {"image": path}) for number, path in enumerate(self._pictures, start=1))
            return
        if self.format == "csv":
            yield from self._csv(self._lines_of_bytes())
        else:
            yield from self._lines(self._lines_of_bytes())

    def _lines(self, stream: Iterable[bytes]) -> Iterator[InputRow | BadRow]:
        for number, line in enumerate(stream, start=1):
            where = f"{self.name}, line {number}"
            if self.format == "json" and not line.strip():
                continue
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                values = {"text": text.rstrip("\r\n")} if self.format == "text" else _object(text)
                yield self._row(values, where, number)
            except UnicodeDecodeError as error:
                yield BadRow(f"{where}: not UTF-8 text ({error.reason}). {_ENCODING}")
            except _BadRowError as error:
                yield BadRow(f"{where}: {error}")

    def _cells(self, stream: Iterable[bytes]) -> Iterator[list[str]]:
        # Bytes that are not UTF-8 become halves of surrogate pairs, for which `_is_text` finds the row.
        csv.field_size_limit(_LONGEST_LINE)  # Python's own would refuse a text of 128 KB
        lines = (
            line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape")
            for number, line in enumerate(stream)
        )
        return csv.reader(lines, delimiter=self._separator, strict=True)

    def _header(self, cells: Iterator[list[str]]) -> list[str]:
        names = next(cells, None)
        if not names:
            raise UserError(f"{self.name}: no header. The first line of a CSV file names its columns.")
        if not _is_text(names):
            raise UserError(f"{self.name}, header: not UTF-8 text. {_ENCODING}")
        if len(names) > _MOST_COLUMNS:
            raise UserError(f"{self.name}: {len(names):,} columns. At most {_MOST_COLUMNS:,} are read.")
        for name, count in Counter(names).items():
            if count > 1:
                raise UserError(f"{self.name}: the header names the column {name!r} twice.")
        return names

    def _csv(self, stream: Iterable[bytes]) -> Iterator[InputRow | BadRow]:
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
                yield BadRow(f"{self.name}, row {number}: not UTF-8 text. {_ENCODING}")
            elif len(row) != len(names):
                yield BadRow(f"{self.name}, row {number}: {len(row)} cells for {len(names)} columns.")
            else:
                yield from self._table([(number, dict(zip(names, row, strict=True)))])

    def _parquet(self) -> pq.ParquetFile:
        try:
            # In small reads: else whole columns of a row group are held, however many rows it has.
            return pq.ParquetFile(self.path, buffer_size=1 << 20)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.name}: not a Parquet file ({str(error).splitlines()[0]})") from None

    def _parquet_rows(self) -> Iterator[dict[str, Any]]:
        with self._parquet() as file:
            batches = file.iter_batches(batch_size=512 if "image" not in self.readings else 16)
            while True:
                with library_errors_name(self.name):
                    batch = next(batches, None)
                if batch is None:
                    return
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
        elif text is None and "image" not in given:
            raise _BadRowError(self._missing(values))
        if "image" in given:
            given["image"] = self._picture(given["image"])
        for field in ("text", "text_pair"):
            value = given.get(field)
            if value is not None and not isinstance(value, str):
                raise _BadRowError(f"{field!r} must be a text, found {_shown(value)}.")
            if value is not None and len(value) > _LONGEST_TEXT:
                raise _BadRowError(f"{field!r} has {len(value):,} characters. At most {_LONGEST_TEXT:,} are read.")
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
        if self.readings == {"image"}:
            names = {}
        if "choices" in self.readings:
            names["choices"] = "choices"
        if "image" in self.readings:
            names["image"] = self.image_column
        return {name: values[column] for name, column in names.items() if values.get(column) is not None}

    def _picture(self, value: Any) -> Any:
        if not isinstance(value, str if self.format in ("json", "csv") else (str, bytes, dict)):
            raise _BadRowError(f"{self.image_column!r} must be the path of a picture, found {_shown(value)}.")
        return path_beside(value, self.path)

    def _missing(self, values: Mapping[str, Any]) -> str:
        fields = ", ".join(map(repr, values)) or "none"
        if self.readings == {"image"}:
            return f"no {self.image_column!r}. Fields: {fields}. --image-column names another."
        if self.text_column is not None:
            return f"no {self.text_column!r}. Fields: {fields}."
        return f"no 'text' and no 'tokens'. Fields: {fields}. --text-column names another."


def _bounded(stream: BinaryIO, name: str) -> Iterator[bytes]:
    number = 0
    while line := stream.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UserError(f"{name}, line {number}: longer than {_LONGEST_LINE >> 20} MB. Is it a file of lines?")
        yield line


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
    except RecursionError:
        raise _BadRowError("not JSON that can be read: it is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise _BadRowError(f"not JSON ({error.msg}, column {error.colno}). Expected one object a line.") from None
    except ValueError as error:  # a number of thousands of digits
        raise _BadRowError(f"not JSON that can be read: {error}.") from None
    if not isinstance(values, dict):
        raise _BadRowError(f'expected an object such as {{"text": "..."}}, found {_shown(values)}.')
    return values


def _list(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:80]
