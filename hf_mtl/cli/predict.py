"""``hf-mtl predict``: every task's answer for every row of a file."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

__all__ = ["predict"]

#: Before the name of an input's field that a task's answer takes the place of.
_INPUT = "input_"


def predict(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    input: Path = typer.Argument(  # the name that --help shows
        help='JSON Lines ({"text"}, {"text", "text_pair"} or {"tokens"}), or .txt with a text a line; - is stdin.',
        show_default=False,
    ),
    output: Path = typer.Option(..., "--output", "-o", help="JSON Lines; - is stdout.", show_default=False),
    tasks: str | None = typer.Option(None, help="Names of the tasks to answer, with commas; all by default."),
    batch_size: int = typer.Option(32, "--batch-size", min=1, help="Rows of one encoder pass."),
) -> None:
    """Answer every task for every row.

    A row's fields are kept and each task's answer is added under the task's name. A field of the input that has a
    task's name, such as a label that is known, is kept as input_<name>.
    """
    from tqdm.auto import tqdm

    import hf_mtl.inference
    from hf_mtl.cli._files import check_readable, check_writable, read_rows, write_whole
    from hf_mtl.cli._model import load_model
    from hf_mtl.cli._terminal import is_terminal, quiet_libraries

    check_readable(input)
    check_writable(output)
    with quiet_libraries():
        loaded, tokenizer = load_model(model)
        names = _task_names(tasks, list(loaded.task_heads))
        with write_whole(output) as stream, tqdm(unit=" rows", disable=not is_terminal()) as bar:
            waiting: deque[dict[str, Any]] = deque()
            rows = _kept(read_rows(input), waiting)
            # Rows are read a batch ahead of their answers and wait for them.
            for answer in hf_mtl.inference.predict(loaded, tokenizer, rows, tasks=names, batch_size=batch_size):
                stream.write(json.dumps(_joined(waiting.popleft(), answer), ensure_ascii=False) + "\n")
                bar.update()


def _task_names(given: str | None, known: list[str]) -> list[str]:
    from hf_mtl._names import listed, nearest

    if given is None:
        return known
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ValueError(
                f"--tasks: {name!r} is no task of the model.{nearest(name, known)} Tasks: {listed(known)}."
            )
    if not names:
        raise ValueError(f"--tasks names none. Tasks: {listed(known)}.")
    return names


def _kept(rows: Iterable[dict[str, Any]], waiting: deque[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        waiting.append(row)
        yield {key: row[key] for key in ("text", "text_pair", "tokens") if row.get(key) is not None}


def _joined(row: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row's fields and the answers; a field that has a task's name steps aside."""
    return {**{f"{_INPUT}{key}" if key in answer else key: value for key, value in row.items()}, **answer}
