"""``hf-mtl predict``: every task's answer for every row of a file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer

from hf_mtl_light.errors import UserError

__all__ = ["predict"]


class OnError(str, Enum):
    """What a row that cannot be read means."""

    fail = "fail"
    skip = "skip"


def predict(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    input: Path = typer.Argument(  # the name that --help shows
        help='JSON Lines ({"text"}, {"text", "text_pair"} or {"tokens"}; to choose {"choices"} besides), .csv or '
        ".tsv, .parquet, or .txt with a text a line; - is stdin, JSON Lines.",
        show_default=False,
    ),
    output: Path = typer.Option(
        ..., "--output", "-o", help="JSON Lines, .csv or .parquet; - is stdout, JSON Lines.", show_default=False
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
) -> None:
    """Answer every task for every row.

    A row's fields are kept and each task's answer is added under the task's name. A field of the input that has a
    task's name, such as a label that is known, is kept as input_<name>. The output appears when it is whole; until
    then it is a hidden file beside it, which --resume continues after a kill.
    """
    from hf_mtl.cli._answering import answer_file
    from hf_mtl.cli._files import STANDARD, check_readable, check_writable
    from hf_mtl.cli._model import load_model
    from hf_mtl.cli._reading import RowReader
    from hf_mtl.cli._terminal import quiet_libraries
    from hf_mtl.heads import AnswerOptions
    from hf_mtl.inference import BATCH_TOKENS, make_answerer

    check_readable(input)
    check_writable(output)
    if resume and output == STANDARD:
        raise UserError("--resume: an output on stdout cannot be continued. Name a file with -o.")
    if pair_column is not None and text_column is None:
        text_column = "text"
    options = AnswerOptions(aggregation_strategy=aggregation_strategy)
    with quiet_libraries():
        loaded, tokenizer = load_model(model)
        answerer = make_answerer(
            loaded,
            tokenizer,
            tasks=_task_names(tasks, list(loaded.task_heads)),
            options=options,
            stride=stride,
            batch_tokens=batch_tokens or BATCH_TOKENS,
            batch_size=batch_size,
        )
        has_choices = any(answerer.heads[name].reads == "choices" for name in answerer.names)
        reader = RowReader(input, text_column, pair_column, has_choices)
        answer_file(loaded, answerer, reader, output, skips_bad_rows=on_error is OnError.skip, resume=resume)


def _task_names(given: str | None, known: list[str]) -> list[str]:
    from hf_mtl._names import listed, nearest

    if given is None:
        return known
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UserError(f"--tasks: {name!r} is no task of the model.{nearest(name, known)} Tasks: {listed(known)}.")
    if not names:
        raise UserError(f"--tasks names none. Tasks: {listed(known)}.")
    return names
