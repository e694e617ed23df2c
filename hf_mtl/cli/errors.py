"""``hf-mtl errors``: what a trained model gets wrong on a recipe's data."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hf_mtl.validation import TaskErrors

__all__ = ["errors"]

_TABLES = (".csv", ".jsonl", ".parquet")


class Split(str, Enum):
    """The split to look at."""

    validation = "validation"
    test = "test"


def errors(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    recipe: Path = typer.Argument(help="The recipe that names the data.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.per_device_eval_batch_size=64", show_default=False
    ),
    split: Split = typer.Option(Split.validation, help="The split to look at."),
    tasks: str | None = typer.Option(None, help="Names of the tasks, with commas; all by default."),
    most: int = typer.Option(20, min=1, help="The most rows that a page shows of each task."),
    output: Path | None = typer.Option(
        None,
        "--output",
        "-o",
        help="A page (.html), or all wrong rows as a table (.csv, .jsonl, .parquet).",
        show_default=False,
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be done, and stop."),
) -> None:
    """Show what a model gets wrong: rows with the highest loss, confusions, labels, entities missed and made up."""
    from hf_mtl.cli._files import check_writable, write_whole

    if output is not None:
        if output.suffix not in (".html", *_TABLES):
            raise UserError(f"--output {output}: expected a file that ends in .html, {', '.join(_TABLES)}.")
        check_writable(output)
    check_model(model)

    from hf_mtl.cli._model import idle_trainer, load_model, named_in, one_pass
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.recipe import Recipe
    from hf_mtl.report import render_errors
    from hf_mtl.validation import chosen_tasks, errors_by_task

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        loaded, tokenizer = load_model(model)
        chosen = named_in(tasks)
        data = read.prepare_for(loaded.tasks, split.value)
        with idle_trainer(loaded, tokenizer, read) as trainer:
            show_progress(trainer, {})
            if dry_run:
                names = chosen_tasks(trainer, chosen)
                text = f"{one_pass(data, names, trainer.args)} Tasks to look at: {', '.join(names)}."
                stdout_console().print(text, soft_wrap=True, markup=False)
                return
            found = errors_by_task(trainer, data, tasks=chosen)
        if not trainer.is_world_process_zero():
            return
        if output is not None and output.suffix == ".html":
            title = f"Errors of {Path(model).name}"
            facts = {"model": Path(model).name, "rows": split.value}
            page = render_errors(title, found, facts, most)
            with write_whole(output) as stream:
                stream.write(page)
        elif output is not None:
            _write_table(output, found)
        stdout_console().print(_summary(found))
        if output is not None:
            stdout_console().print(f"Errors are in {output}", markup=False, soft_wrap=True)


def _summary(found: Mapping[str, TaskErrors]) -> object:
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table
    from hf_mtl_light.text import terminal_text

    table = plain_table("task", "rows", "wrong", "most confused", right=("rows", "wrong"))
    for name, of in found.items():
        wrong = f"{len(of.wrong):,}" if of.is_judged else "-"
        cells = (name, f"{len(of.rows):,}", wrong, _most_confused(of.confusion))
        table.add_row(*(Text(terminal_text(cell)) for cell in cells))
    return table


def _most_confused(confusion: pd.DataFrame) -> str:
    pairs = [
        (int(confusion.iloc[i, j]), str(confusion.index[i]), str(confusion.columns[j]))
        for i in range(len(confusion))
        for j in range(len(confusion))
        if i != j and confusion.iloc[i, j]
    ]
    if not pairs:
        return ""
    count, true, predicted = max(pairs, key=lambda pair: pair[0])
    return f"{true} as {predicted} ({count:,} times)"


def _write_table(output: Path, found: Mapping[str, TaskErrors]) -> None:
    import json

    import pandas as pd

    from hf_mtl_light.outputs import written_whole

    table = pd.concat([of.wrong for of in found.values()], ignore_index=True)
    if output.suffix != ".jsonl":
        # Tasks differ in what an answer is: a cell holds it as JSON where it is no text.
        for column in ("text", "reference", "prediction", "probabilities"):
            table[column] = [
                cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
                for cell in table[column]
            ]
    with written_whole(output) as stream:
        if output.suffix == ".parquet":
            table.to_parquet(stream, index=False)
        elif output.suffix == ".csv":
            table.to_csv(stream, index=False)
        else:
            table.to_json(stream, orient="records", lines=True, force_ascii=False)
