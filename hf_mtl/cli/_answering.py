"""From an input to an output, some rows at a time: read, answer, write, note how far it got."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import torch

from hf_mtl.cli._files import STANDARD
from hf_mtl.cli._partial import Done, PartialOutput, clear_finished
from hf_mtl.cli._progress_lines import RowProgress
from hf_mtl.cli._reading import BadRow, InputRow, RowReader
from hf_mtl.cli._terminal import write_line
from hf_mtl.cli._writing import RowWriter, make_writer
from hf_mtl.inference import AnsweredRows, Answerer, answered_rows
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import is_replaceable

__all__ = ["Engine", "answer_file"]

#: Takes batches of rows and whether to leave out those that the model cannot take in; yields their answers in order.
Engine: TypeAlias = Callable[[Iterator[Sequence[Row]], bool], Iterator[AnsweredRows]]


@dataclass(frozen=True)
class _Step:
    """Rows that are answered together, and how far the input has been read after them.

    Args:
        rows: The rows that could be read.
        read: All rows of the input so far.
        left_out: Those of this step that could not be read.
        digest: A digest of the input so far.
    """

    rows: list[InputRow]
    read: int
    left_out: int
    digest: str


#: Yields the steps of an input after what is done, each with its answers.
_Answering: TypeAlias = Callable[[RowReader, Done], Iterator[tuple[_Step, AnsweredRows]]]


def answer_file(
    model: MultiTaskModel,
    answerer: Answerer,
    reader: RowReader,
    output: Path,
    skips_bad_rows: bool = False,
    resume: bool = False,
    engine: Engine | None = None,
) -> None:
    """Answer the rows of a file.

    Args:
        model: The model, by whose weights an unfinished output is known.
        answerer: Answers rows with it; its ``look_ahead`` is the number of rows of a step.
        reader: The input.
        output: The output; ``-`` is stdout.
        skips_bad_rows: Whether a row that cannot be read is reported and left out, or ends it all.
        resume: Whether to continue an unfinished output.
        engine: Answers batches of rows, in their order, as the answerer would; ``None``: the answerer does.

    Raises:
        ValueError: If a row cannot be read, or an output cannot be continued.
    """
    kinds = {name: answerer.heads[name] for name in answerer.names}
    options = answerer.options
    fields = {name: kind.answer_fields(answerer.tasks[name], options.get(name)) for name, kind in kinds.items()}
    writer = make_writer(output, reader, fields)
    engine = engine or _in_this_process(answerer)
    with RowProgress(reader.count()) as progress:
        if output == STANDARD or not is_replaceable(output):
            _stream(output, _answering(engine, answerer, skips_bad_rows), reader, writer, progress)
            return
        if resume and clear_finished(output):
            write_line(f"{output} is whole already: the run before was stopped after its last row.")
            return
        settings = _settings(model, answerer, reader, output, skips_bad_rows)
        with PartialOutput(output, settings, resume) as partial:
            _fill(partial, _answering(engine, answerer, skips_bad_rows), reader, writer, progress)
        writer.finish(partial.path, partial.output)
        partial.forget()
    if partial.done.skipped:
        write_line(f"{partial.done.skipped:,} of {partial.done.rows:,} rows were left out.")


def _in_this_process(answerer: Answerer) -> Engine:
    def answered(batches: Iterator[Sequence[Row]], skips: bool) -> Iterator[AnsweredRows]:
        return (answered_rows(answerer, rows, skips) for rows in batches)

    return answered


def _answering(engine: Engine, answerer: Answerer, skips: bool) -> _Answering:
    """Return what reads an input and yields each step with its answers."""

    def answering(reader: RowReader, done: Done) -> Iterator[tuple[_Step, AnsweredRows]]:
        waiting: deque[_Step] = deque()

        def batches() -> Iterator[Sequence[Row]]:
            for step in _steps(reader, done, answerer.look_ahead, skips):
                waiting.append(step)
                yield [row.row for row in step.rows]

        for found in engine(batches(), skips):
            yield waiting.popleft(), found

    return answering


def _stream(output: Path, answering: _Answering, reader: RowReader, writer: RowWriter, progress: RowProgress) -> None:
    """Answer to what cannot be replaced: stdout, a pipe, a device."""
    with writer.to_stream(output) as write:
        write(writer.head())
        for step, found in answering(reader, Done()):
            write(_written(step, found, writer)[0])
            progress.update(len(step.rows))


def _fill(
    partial: PartialOutput, answering: _Answering, reader: RowReader, writer: RowWriter, progress: RowProgress
) -> None:
    if partial.lost:
        write_line(f"warning: {partial.output}: {partial.lost:,} rows of an unfinished run are thrown away.")
    if not partial.is_begun:
        partial.add(writer.head(), Done())
    progress.begin_with(partial.done.rows)
    try:
        for step, found in answering(reader, partial.done):
            data, left_out = _written(step, found, writer)
            skipped = partial.done.skipped + step.left_out + left_out
            partial.add(data, Done(step.read, skipped, 0, step.digest))
            progress.update(len(step.rows))
    except BaseException:
        if partial.done.rows:
            write_line(f"{partial.done.rows:,} rows are done; the same command with --resume continues after them.")
        raise


def _written(step: _Step, found: AnsweredRows, writer: RowWriter) -> tuple[bytes, int]:
    """Return a step's bytes, and how many rows were left out because the model cannot take them in."""
    answers, kept, wrong = found
    for message in wrong:
        write_line(f"left out: {message}")
    return writer.rows([step.rows[position].values for position in kept], answers), len(step.rows) - len(kept)


def _steps(reader: RowReader, done: Done, size: int, skips: bool) -> Iterator[_Step]:
    """Yield the input's rows after those that are done, ``size`` input rows at a time.

    The cut depends on the input alone, so a resumed run answers together what an unbroken one would.
    """
    digest = hashlib.blake2b(digest_size=16)
    rows = iter(reader)
    number = 0
    for row in islice(rows, done.rows):
        number += 1
        _take(digest, row)
    if number < done.rows or digest.hexdigest() != done.digest:
        raise UserError(
            f"--resume: the first {done.rows:,} rows of {reader.name} are not those that were answered. Start again "
            "without --resume."
        )
    while True:
        good: list[InputRow] = []
        before, left_out = number, 0
        for row in islice(rows, size):
            number += 1
            _take(digest, row)
            if isinstance(row, InputRow):
                good.append(row)
            elif skips:
                left_out += 1
                write_line(f"left out: {row.message}")
            else:
                raise UserError(row.message)
        if number == before:
            return
        yield _Step(good, number, left_out, digest.hexdigest())


def _take(digest: Any, row: InputRow | BadRow) -> None:
    digest.update(repr(row.values if isinstance(row, InputRow) else row.message).encode("utf-8", "surrogatepass"))


def _settings(
    model: MultiTaskModel, answerer: Answerer, reader: RowReader, output: Path, skips: bool
) -> dict[str, Any]:
    """Return what the bytes of an output depend on, besides the rows."""
    return {
        "hf-mtl": version("hf-mtl"),
        "model": _fingerprint(model),
        "input format": reader.format,
        "--encoding": reader.encoding,
        "--output": output.suffix,
        "--tasks": answerer.names,
        "--text-column": reader.text_column,
        "--pair-column": reader.pair_column,
        "--image-column": reader.image_column,
        "--batch-tokens": answerer.batch_tokens,
        "--batch-size": answerer.batch_size,
        "--stride": answerer.encoder.stride,
        "--aggregation-strategy": _strategies(answerer),
        "--on-error": "skip" if skips else "fail",
        "rows a step": answerer.look_ahead,
    }


def _strategies(answerer: Answerer) -> Sequence[str | None]:
    return sorted({options.aggregation_strategy for options in answerer.options.values()}, key=str)


def _fingerprint(model: MultiTaskModel) -> str:
    """Return a checksum of the model's config and weights."""
    config = model.config.to_dict()
    config.pop("_name_or_path", None)
    check = zlib.crc32(json.dumps(config, sort_keys=True, default=str).encode())
    for name, value in model.state_dict().items():
        check = zlib.crc32(name.encode(), check)
        check = zlib.crc32(value.detach().cpu().contiguous().view(torch.uint8).numpy().data, check)
    return f"{check:08x}"
