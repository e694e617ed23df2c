"""``hf-mtl cv``: how sure a recipe's scores are, and each row's probabilities by a model that did not see it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from hf_mtl.validation import CrossValidation

__all__ = ["cv"]


def cv(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.num_train_epochs=1", show_default=False
    ),
    folds: int = typer.Option(5, min=2, help="The number of folds."),
    group_by: str | None = typer.Option(
        None, help="A column of the sources whose equal values stay in one fold.", show_default=False
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The folder; by default the run folder's name and -cv.", show_default=False
    ),
    parallel: int = typer.Option(1, min=1, help="How many folds are trained at once, each in a process."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be trained, and stop."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Train the folds again that the folder holds."),
) -> None:
    """Train a recipe once for each fold of its training rows, and score each model on the fold that it did not see.

    The same command continues with the folds that are missing. oof.parquet holds each row's out-of-fold probabilities.
    """
    from hf_mtl.cli._runs import read_recipe, run_kept
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.validation import CrossValidation

    with quiet_libraries():
        read, folder = read_recipe(recipe, overrides, output, "-cv")
        plan = CrossValidation.plan(read, folds, group_by=group_by)
        done = 0 if overwrite else plan.done(folder)
        console = stdout_console()
        console.print(_plan_text(plan, done), soft_wrap=True)
        if dry_run:
            return
        if overwrite:
            for place in folder.glob("fold-*"):
                if (place / "run.json").exists():
                    shutil.rmtree(place)
        table = run_kept(plan, folder, parallel, "folds")
        console.print(_table(table))
        console.print(f"Scores, out-of-fold probabilities and the folds' models are in {folder}", soft_wrap=True)


def _plan_text(plan: CrossValidation, done: int) -> str:
    steps = sorted({run.steps for run in plan.runs})
    each = " to ".join(f"{count:,}" for count in (steps if len(steps) == 1 else (steps[0], steps[-1])))
    kept = f" Already done: {done}." if done else ""
    return f"{len(plan.runs)} folds of {each} steps, {plan.steps:,} in all.{kept}"


def _table(scores: pd.DataFrame) -> Table:
    """Return a line for each task's main metric, and the others below it."""
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table
    from hf_mtl.cli._tables import headlines

    table = plain_table("task", "metric", "mean", "std", "95 % interval", right=("mean", "std", "95 % interval"))
    before = None
    for row in scores.itertuples():
        if not row.is_main and row.metric not in headlines():
            continue
        is_last = row.task == ""
        if is_last:
            table.add_section()
        name = "score" if is_last else "" if row.task == before else str(row.task)
        metric = "mean of the main metrics" if is_last else str(row.metric)
        numbers = (f"{row.mean:.4f}", f"{row.std:.4f}", f"{row.low:.4f} to {row.high:.4f}")
        table.add_row(*(Text(cell, style="bold" if row.is_main else "dim") for cell in (name, metric, *numbers)))
        before = row.task
    return table
