"""Rows with their answers as bytes: JSON Lines, CSV or Parquet, by the ending of the output's name."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_mtl.cli._files import STANDARD
from hf_mtl.cli._pictures import shown_picture
from hf_mtl.cli._reading import FIELDS, RowReader
from hf_mtl_light.outputs import written_whole
from hf_mtl_light.text import terminal_text

__all__ = ["RowWriter", "make_writer"]

#: Before the name of an input's field that a task's answer takes the place of.
_INPUT = "input_"
#: Rows of a row group of Parquet.
_GROUP = 2048
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}


class RowWriter(ABC):
    """Turns rows into bytes that follow one another, so that an unfinished file can be continued.

    Args:
        fields: What each task's answer holds: see `hf_mtl.heads.Head.answer_fields`.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = dict(fields)

    @abstractmethod
    def head(self) -> bytes:
        """Return what comes before the first row."""

    @abstractmethod
    def rows(self, values: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> bytes:
        """Return some rows: the fields of each, and its answers."""

    def finish(self, partial: Path, output: Path) -> None:
        """Make the output of all bytes, whole or not at all."""
        with suppress(FileNotFoundError):
            partial.chmod(stat.S_IMODE(output.stat().st_mode))
        os.replace(partial, output)

    @contextmanager
    def to_stream(self, output: Path) -> Iterator[Callable[[bytes], Any]]:
        """Yield what writes bytes to an output that cannot be replaced; ``-`` is stdout."""
        if output != STANDARD:
            with output.open("wb") as stream:

                def passed_on(data: bytes) -> None:
                    stream.write(data)
                    stream.flush()

                yield passed_on
            return
        is_shown = sys.stdout.isatty()

        def write(data: bytes) -> None:
            if is_shown:
                sys.stdout.write(terminal_text(data.decode("utf-8", "replace")))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(data)
            sys.stdout.flush()

        yield write

    def joined(self, values: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row's fields and its answers; a field that has a task's name steps aside."""
        return {**{self.aside(name): value for name, value in values.items()}, **answers}

    def aside(self, name: str) -> str:
        """Return the name of an input's field in the output."""
        return f"{_INPUT}{name}" if name in self.fields else name


class _JsonLines(RowWriter):
    def head(self) -> bytes:
        return b""

    def rows(self, values: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> bytes:
        shown = ({name: shown_picture(value) for name, value in row.items()} for row in values)
        lines = [_json(self.joined(row, found)) + "\n" for row, found in zip(shown, answers, strict=True)]
        return "".join(lines).encode("utf-8", errors="surrogatepass")


class _Table(RowWriter):
    """A format whose columns are known before the first row."""

    def __init__(self, fields: Mapping[str, Any], schema: pa.Schema, has_free_fields: bool) -> None:
        super().__init__(fields)
        self.input_schema = schema
        self.has_free_fields = has_free_fields

    def table_values(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row's fields by column; of JSON Lines what is no input goes into one column, as JSON."""
        if not self.has_free_fields:
            return values
        inputs = [name for name in self.input_schema.names if name != FIELDS]
        own = {name: value for name, value in values.items() if name in inputs}
        rest = {name: value for name, value in values.items() if name not in inputs}
        return {**own, FIELDS: _json(rest) if rest else None}


class _Csv(_Table):
    """``<task>.<field>`` for each number and text of an answer; lists as JSON. No task's name holds a dot."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.columns: list[tuple[str, tuple[str, ...]]] = []
        for task, fields in self.fields.items():
            names = [(task, field) for field in fields] if isinstance(fields, dict) else [(task,)]
            self.columns += [(".".join(path), path) for path in names]

    def head(self) -> bytes:
        taken = {name for name, _ in self.columns}
        first = [f"{_INPUT}{n}" if n in taken else self.aside(n) for n in self.input_schema.names]
        return _cells([[*first, *(name for name, _ in self.columns)]])

    def rows(self, values: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> bytes:
        lines = []
        for row, found in zip(values, answers, strict=True):
            table = self.table_values(row)
            line = [_cell(shown_picture(table.get(name))) for name in self.input_schema.names]
            lines.append(line + [_cell(_at(found, path)) for _, path in self.columns])
        return _cells(lines)


class _Parquet(_Table):
    """Kept as a stream of Arrow until it is whole: Parquet's own files cannot be continued."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        first = [field.with_name(self.aside(field.name)) for field in self.input_schema]
        self.schema = pa.schema([*first, *(pa.field(name, _type(fields)) for name, fields in self.fields.items())])

    def head(self) -> bytes:
        return bytes(self.schema.serialize())

    def rows(self, values: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> bytes:
        unknown = [name for name, fields in self.fields.items() if fields is None]
        lines = []
        for row, found in zip(values, answers, strict=True):
            line = self.joined(self.table_values(row), found)
            lines.append({**line, **{name: _json(line[name]) for name in unknown}} if unknown else line)
        batch = pa.RecordBatch.from_pylist(lines, schema=self.schema)
        return bytes(batch.serialize()) if lines else b""

    @contextmanager
    def to_stream(self, output: Path) -> Iterator[Callable[[bytes], Any]]:
        with TemporaryDirectory() as folder:
            partial, whole = Path(folder, "partial"), Path(folder, "whole")
            with partial.open("wb") as stream:
                yield stream.write
            self.finish(partial, whole)
            with whole.open("rb") as source, output.open("wb") as target:
                shutil.copyfileobj(source, target)

    def finish(self, partial: Path, output: Path) -> None:
        with (
            written_whole(output) as target,
            pa.OSFile(str(partial), "rb") as source,
            pq.ParquetWriter(target, self.schema) as writer,
        ):
            waiting: list[pa.RecordBatch] = []
            for batch in pa.ipc.open_stream(source):
                waiting.append(batch)
                if sum(map(len, waiting)) >= _GROUP:
                    writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting).combine_chunks())
        partial.unlink()


def make_writer(output: Path, reader: RowReader, fields: Mapping[str, Any]) -> RowWriter:
    """Return the writer for an output: CSV and Parquet by their endings, JSON Lines for all others and stdout.

    Args:
        output: The output.
        reader: What reads the input: tables keep its columns.
        fields: What each task's answer holds.
    """
    kind = {".csv": _Csv, ".parquet": _Parquet}.get(output.suffix.lower())
    if kind is None:
        return _JsonLines(fields)
    return kind(fields, reader.schema(), reader.format == "json")


def _type(fields: Any) -> pa.DataType:
    if isinstance(fields, dict):
        return pa.struct([(name, _type(inner)) for name, inner in fields.items()])
    if isinstance(fields, list):
        return pa.list_(_type(fields[0]))
    return pa.string() if fields is None else _TYPES[fields]


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = None if value is None else value[name]  # a task that the row has no input for
    return value


def _json(value: Any) -> str:
    # Parquet knows values that JSON does not, such as dates: they are written as text.
    return json.dumps(value, ensure_ascii=False, default=str)


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, (dict, list)) else value


def _cells(lines: Sequence[Sequence[Any]]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue().encode("utf-8", errors="surrogatepass")
