"""``hf-mtl compare``: one model for all tasks against one model each."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from hf_mtl.validation import Comparison

__all__ = ["compare"]


class Budget(str, Enum):
    """What a task alone gets."""

    steps = "steps"
    time = "time"


def compare(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.num_train_epochs=1", show_default=False
    ),
    seeds: int = typer.Option(3, min=1, help="How many seeds, from the recipe's on."),
    budget: Budget = typer.Option(
        Budget.steps,
        help="steps: a task alone gets the steps that go to its rows; time: all models of one task together take as "
        "many steps as the one of all.",
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The folder; by default the run folder's name and -compare.", show_default=False
    ),
    parallel: int = typer.Option(1, min=1, help="How many runs are trained at once, each in a process."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be trained, and stop."),
) -> None:
    """Train a recipe, and each of its tasks alone, and say for each task what sharing did.

    The same command continues with the runs that are missing. The models of one task are kept: they are teachers for
    distillation.
    """
    from hf_mtl.cli._runs import read_recipe, run_kept
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.validation import Comparison

    with quiet_libraries():
        read, folder = read_recipe(recipe, overrides, output, "-compare")
        plan = Comparison.plan(read, seeds, budget=budget.value)
        console = stdout_console()
        console.print(_plan_text(plan, plan.done(folder)), soft_wrap=True)
        if dry_run:
            return
        table = run_kept(plan, folder, parallel)
        console.print(_table(table))
        console.print(_totals(table), soft_wrap=True)
        console.print(f"Scores and all models are in {folder}", soft_wrap=True)
        if plan.earlier is not None:
            text = f"What sharing did is in the report and the card of {plan.earlier}, too."
            console.print(text, soft_wrap=True, markup=False)


def _plan_text(plan: Comparison, done: int) -> str:
    alone = ", ".join(f"{task} {runs[0].steps:,}" for task, runs in plan.alone.items())
    kept = f" Already done: {done}." if done else ""
    return (
        f"{len(plan.runs)} runs with {len(plan.seeds)} seed{'s' if len(plan.seeds) > 1 else ''}, {plan.steps:,} steps "
        f"in all.{kept}\n  together: {plan.together[0].steps:,} steps\n  alone: {alone}"
    )


def _table(found: pd.DataFrame) -> Table:
    """Return a line for each task."""
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table

    numbers = ("alone", "together", "difference", "95 % of rows", "std of seeds")
    table = plain_table("task", "metric", *numbers, "sharing", right=numbers)
    for row in found.to_dict("records"):
        interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
        spread = "-" if math.isnan(row["std"]) else f"{row['std']:.4f}"
        scores = (f"{row['alone']:.4f}", f"{row['together']:.4f}", f"{row['difference']:+.4f}")
        cells = (row["task"], row["metric"], *scores, interval, spread, row["verdict"])
        table.add_row(*(Text(str(cell), style="" if row["verdict"] == "level" else "bold") for cell in cells))
    return table


def _totals(found: pd.DataFrame) -> str:
    one = f"{found['together_parameters'].iloc[0]:,} parameters, {found['together_seconds'].iloc[0]:,.0f} s a training"
    many = f"{found['alone_parameters'].sum():,} parameters, {found['alone_seconds'].sum():,.0f} s"
    return f"One model: {one}. One each, together: {many}."
