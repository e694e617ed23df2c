"""``hf-mtl predict``: every task's answer for every row of a file."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.model import MultiTaskModel
    from hf_mtl_light.words import Reading

__all__ = ["predict"]


class OnError(str, Enum):
    """What a row that cannot be read means."""

    fail = "fail"
    skip = "skip"


class EngineName(str, Enum):
    """Where rows are answered."""

    here = "here"
    ray = "ray"


class InputFormat(str, Enum):
    """How the input is read."""

    json = "json"
    text = "text"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


#: What a word without spaces ends in that was meant for a file.
_ENDINGS = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".gz", ".zip", ".png", ".jpg", ".jpeg"})


def predict(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    input: str = typer.Argument(  # the name that --help shows
        help='JSON Lines ({"text"}, {"text", "text_pair"} or {"tokens"}; to choose {"choices"} besides), .csv or '
        ".tsv, .parquet, or .txt with a text a line; - is stdin, JSON Lines or a text a line. A folder of pictures, "
        "or a file of rows with their paths in the column image. Or one text, in quotes, or one picture.",
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
    image_column: str | None = typer.Option(None, help="The column that holds the picture, if it is not 'image'."),
    batch_tokens: int | None = typer.Option(None, min=1, help="The most tokens of one encoder pass."),
    batch_size: int | None = typer.Option(None, "--batch-size", min=1, help="The most rows of one encoder pass."),
    stride: int | None = typer.Option(
        None, min=0, help="Read long texts in windows that share so many tokens; else their ends are cut off."
    ),
    aggregation_strategy: str | None = typer.Option(
        None, help="none, simple, first, average or max, as in Transformers' pipeline; whole words by default."
    ),
    coverage: float | None = typer.Option(
        None,
        help="Add to each answer the set of labels that holds the truth in such a part of rows, as calibrate "
        "--coverage found it.",
        show_default=False,
    ),
    threshold: float | None = typer.Option(
        None,
        help="The least score of labels and boxes that are answered, of tasks that answer any number of them; by "
        "default each task's own.",
        show_default=False,
    ),
    on_error: OnError = typer.Option(OnError.fail, help="What to do about a row that cannot be read."),
    resume: bool = typer.Option(False, "--resume", help="Continue an output that was not finished."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an output that exists."),
    engine: EngineName = typer.Option(
        EngineName.here, help="Where rows are answered: in this process, or by actors of a cluster of Ray (extra ray)."
    ),
    actors: int | None = typer.Option(
        None, min=1, help="Actors of --engine ray, each with a model; by default one for each CPU.", show_default=False
    ),
    encoding: str = typer.Option("utf-8", help="The input's encoding, such as cp1252 or utf-16."),
    input_format: InputFormat | None = typer.Option(
        None, help="The input's format, if its name does not say it.", show_default=False
    ),
) -> None:
    """Answer every task for every row of a file, or for one text: hf-mtl predict MODEL "a text".

    A row's fields are kept and each task's answer is added under the task's name. A field of the input that has a
    task's name, such as a label that is known, is kept as input_<name>. Boxes of objects are xmin, ymin, xmax and ymax
    in pixels of the picture as it is given, seen upright. The output appears when it is whole; until
    then it is a hidden file beside it, which --resume continues after a kill.
    """
    from hf_mtl.cli._files import STANDARD, check_readable, check_writable
    from hf_mtl.cli._partial import is_unfinished
    from hf_mtl.cli._pictures import is_of_pictures, local_path
    from hf_mtl_light.answering import AnswerOptions
    from hf_mtl_light.outputs import is_replaceable

    path, single = local_path(input), None
    is_text = output is None and _is_text(input)
    if not is_text:
        check_readable(path, may_be_folder=True)
    of_pictures = not is_text and input != "-" and is_of_pictures(path)
    if is_text or (of_pictures and output is None and not path.is_dir()):
        single = {"text": input} if is_text else {"image": str(path)}
    if is_text or of_pictures:
        given = {
            "--text-column": text_column is not None,
            "--pair-column": pair_column is not None,
            "--image-column": image_column is not None,
            "--encoding": encoding != "utf-8",
            "--input-format": input_format is not None,
            "--on-error skip": on_error is OnError.skip and single is not None,
            "--engine": engine is not EngineName.here and single is not None,
        }
        what = "a text" if is_text else "pictures"
        for flag in (flag for flag, is_given in given.items() if is_given):
            raise UserError(
                f"{flag} would be without effect: it is for files of rows, and {input[:40]!r} is read as {what}."
            )
    output = output or STANDARD
    if actors is not None and engine is EngineName.here:
        raise UserError("--actors would be without effect: it is for --engine ray.")
    if overwrite and output == STANDARD:
        raise UserError("--overwrite would be without effect: answers go to stdout. Name a file with -o.")
    check_writable(output, overwrite=overwrite or resume)
    if resume and (output == STANDARD or not is_replaceable(output)):
        raise UserError("--resume: only a file can be continued. Name one with -o.")
    if resume and not overwrite and not is_unfinished(output):
        check_writable(output, overwrite=False)
    if pair_column is not None and text_column is None:
        text_column = "text"
    options = AnswerOptions(aggregation_strategy=aggregation_strategy, coverage=coverage, thresholds=threshold)
    check_model(model)

    from hf_mtl.cli._answering import answer_file
    from hf_mtl.cli._model import image_processor_of, load_model, named_in
    from hf_mtl.cli._reading import RowReader
    from hf_mtl.cli._tables import answer_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.inference import BATCH_TOKENS, RayAnswerers, as_row, make_answerer

    with quiet_libraries():
        loaded, tokenizer = load_model(model)
        asked: dict[str, Any] = {
            "tasks": _known_tasks(named_in(tasks), loaded, of_pictures),
            "options": options,
            "stride": stride,
            "batch_tokens": batch_tokens or BATCH_TOKENS,
            "batch_size": batch_size,
        }
        answerer = make_answerer(loaded, tokenizer, image_processor=image_processor_of(loaded), **asked)
        if single is not None:
            found = answerer.answer([as_row(single, 1, next(iter(single)))])[0]
            stdout_console().print(answer_table(found), soft_wrap=True)
            return
        asked_readings = {answerer.heads[name].reads for name in answerer.names}
        joint: set[Reading] = {"text", "image"}
        readings = (asked_readings - {"joint"}) | (joint if "joint" in asked_readings else set())
        for flag, column, is_read in (
            ("--image-column", image_column, "image" in readings),
            ("--text-column", text_column, readings != {"image"}),
        ):
            if column is not None and not is_read:
                raise UserError(f"{flag} would be without effect: no task that is asked reads such a column.")
        kind = None if input_format is None else input_format.value
        reader = RowReader(path, text_column, pair_column, readings, encoding, kind, image_column)
        skips = on_error is OnError.skip
        cluster = None if engine is EngineName.here else RayAnswerers(str(loaded.config.name_or_path), asked, actors)
        answered = None if cluster is None else cluster.answered
        answer_file(loaded, answerer, reader, output, skips_bad_rows=skips, resume=resume, engine=answered)


def _is_text(given: str) -> bool:
    """Return whether an input is a text to answer: no file, and not the name of a file that is missing."""
    if given == "-" or os.path.exists(given) or given[:5].lower() == "file:":
        return False
    looks_like_a_name = Path(given[:1000]).suffix.lower() in _ENDINGS or any(sep in given for sep in "/\\")
    return any(map(str.isspace, given)) or not looks_like_a_name


def _known_tasks(names: list[str] | None, model: MultiTaskModel, of_pictures: bool) -> list[str]:
    """Return the tasks to answer; without names all, of pictures alone those that read them."""
    from hf_mtl._names import listed, nearest

    known = list(model.task_heads)
    if names is None:
        reading = [name for name in known if "image" in model.task_heads[name].modalities()]
        return reading or known if of_pictures else known
    for name in names:
        if name not in known:
            raise UserError(f"--tasks: {name!r} is no task of the model.{nearest(name, known)} Tasks: {listed(known)}.")
    if not names:
        raise UserError(f"--tasks names none. Tasks: {listed(known)}.")
    return names
