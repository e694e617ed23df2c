"""``hf-mtl predict``: every task's answer for every row of a file."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

import typer

from hf_mtl_light.errors import UserError

__all__ = ["predict"]


class OnError(str, Enum):
    """What a row that cannot be read means."""

    fail = "fail"
    skip = "skip"


class InputFormat(str, Enum):
    """How the input is read."""

    json = "json"
    text = "text"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


#: What a word without spaces ends in that was meant for a file.
_ENDINGS = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".gz", ".zip"})


def predict(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    input: str = typer.Argument(  # the name that --help shows
        help='JSON Lines ({"text"}, {"text", "text_pair"} or {"tokens"}; to choose {"choices"} besides), .csv or '
        ".tsv, .parquet, or .txt with a text a line; - is stdin, JSON Lines or a text a line. Or one text, in quotes.",
        show_default=False,
    ),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="JSON Lines, .csv or .parquet; - is stdout, JSON Lines, and the default.",
        show_default=False,
    ),
    tasks: str | None = typer.Option(None, help="Names of the tasks to answer, with commas; all by default."),
    text_column: str | None = typer.Option(None, help="The column that holds the text, if it is not 'text'."),
    pair_column: str | None = typer.Option(None, help="The column that holds the second text of a pair."),
    batch_tokens: int | None = typer.Option(None, min=1, help="The most tokens of one encoder pass."),
    batch_size: int | None = typer.Option(None, "--batch-size", min=1, help="The most rows of one encoder pass."),
    stride: int | None = typer.Option(
        None, min=0, help="Read long texts in windows that share so many tokens; else their ends are cut off."
    ),
    aggregation_strategy: str | None = typer.Option(
        None, help="none, simple, first, average or max, as in Transformers' pipeline; whole words by default."
    ),
    on_error: OnError = typer.Option(OnError.fail, help="What to do about a row that cannot be read."),
    resume: bool = typer.Option(False, "--resume", help="Continue an output that was not finished."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an output that exists."),
    encoding: str = typer.Option("utf-8", help="The input's encoding, such as cp1252 or utf-16."),
    input_format: InputFormat | None = typer.Option(
        None, help="The input's format, if its name does not say it.", show_default=False
    ),
) -> None:
    """Answer every task for every row of a file, or for one text: hf-mtl predict MODEL "a text".

    A row's fields are kept and each task's answer is added under the task's name. A field of the input that has a
    task's name, such as a label that is known, is kept as input_<name>. The output appears when it is whole; until
    then it is a hidden file beside it, which --resume continues after a kill.
    """
    from hf_mtl.cli._answering import answer_file
    from hf_mtl.cli._files import STANDARD, check_readable, check_writable
    from hf_mtl.cli._model import load_model, named_in
    from hf_mtl.cli._partial import is_unfinished
    from hf_mtl.cli._reading import RowReader
    from hf_mtl.cli._tables import answer_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.heads import AnswerOptions
    from hf_mtl.inference import BATCH_TOKENS, as_row, make_answerer
    from hf_mtl_light.outputs import is_replaceable

    path, text = Path(input), None
    if output is None and _is_text(input):
        text = input
        given = {
            "--text-column": text_column is not None,
            "--pair-column": pair_column is not None,
            "--encoding": encoding != "utf-8",
            "--input-format": input_format is not None,
            "--on-error skip": on_error is OnError.skip,
        }
        for flag in (flag for flag, is_given in given.items() if is_given):
            raise UserError(f"{flag} would be without effect: it is for files, and {input[:40]!r} is read as a text.")
    else:
        check_readable(path)
    output = output or STANDARD
    if overwrite and output == STANDARD:
        raise UserError("--overwrite would be without effect: answers go to stdout. Name a file with -o.")
    check_writable(output, overwrite=overwrite or resume)
    if resume and (output == STANDARD or not is_replaceable(output)):
        raise UserError("--resume: only a file can be continued. Name one with -o.")
    if resume and not overwrite and not is_unfinished(output):
        check_writable(output, overwrite=False)
    if pair_column is not None and text_column is None:
        text_column = "text"
    options = AnswerOptions(aggregation_strategy=aggregation_strategy)
    with quiet_libraries():
        loaded, tokenizer = load_model(model)
        answerer = make_answerer(
            loaded,
            tokenizer,
            tasks=_known_tasks(named_in(tasks), list(loaded.task_heads)),
            options=options,
            stride=stride,
            batch_tokens=batch_tokens or BATCH_TOKENS,
            batch_size=batch_size,
        )
        if text is not None:
            found = answerer.answer([as_row({"text": text}, 1, "the text")])[0]
            stdout_console().print(answer_table(found), soft_wrap=True)
            return
        has_choices = any(answerer.heads[name].reads == "choices" for name in answerer.names)
        reader = RowReader(
            path, text_column, pair_column, has_choices, encoding, None if input_format is None else input_format.value
        )
        answer_file(loaded, answerer, reader, output, skips_bad_rows=on_error is OnError.skip, resume=resume)


def _is_text(given: str) -> bool:
    """Return whether an input is a text to answer: no file, and not the name of a file that is missing."""
    if given == "-" or os.path.exists(given):
        return False
    looks_like_a_name = Path(given[:1000]).suffix.lower() in _ENDINGS or any(sep in given for sep in "/\\")
    return any(map(str.isspace, given)) or not looks_like_a_name


def _known_tasks(names: list[str] | None, known: list[str]) -> list[str]:
    from hf_mtl._names import listed, nearest

    if names is None:
        return known
    for name in names:
        if name not in known:
            raise UserError(f"--tasks: {name!r} is no task of the model.{nearest(name, known)} Tasks: {listed(known)}.")
    if not names:
        raise UserError(f"--tasks names none. Tasks: {listed(known)}.")
    return names
