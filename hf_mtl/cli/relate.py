"""``hf-mtl relate``: which tasks help which, and which should share."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from hf_mtl.relations import Relations, RelationsPlan

__all__ = ["gain_table", "relate"]


class Measure(str, Enum):
    """How gains are measured."""

    pairs = "pairs"
    subsets = "subsets"
    gradients = "gradients"


class Score(str, Enum):
    """What gains are of."""

    metric = "metric"
    loss = "loss"


def relate(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.learning_rate=1e-4", show_default=False
    ),
    measure: Measure = typer.Option(
        Measure.pairs,
        help="pairs: random pairs of tasks, each task in one or more; subsets: random sets of 3 to 5 tasks; gradients: "
        "one run of all tasks, by the gradients of its steps.",
    ),
    score: Score | None = typer.Option(
        None, help="What gains are of: metric, the main one of each task, by default; loss, always by gradients."
    ),
    budget: int | None = typer.Option(
        None,
        min=1,
        help="The number of runs in all; by default each task alone, and half of the pairs or two subsets a task.",
        metavar="RUNS",
    ),
    steps: int = typer.Option(100, min=1, help="Optimizer steps for each dataset of a run."),
    seeds: int | None = typer.Option(
        None, min=1, help="How many runs each task has alone, 2 by default; by gradients runs of all, 1 by default."
    ),
    run: Path | None = typer.Option(
        None, help="By gradients: read a run trained with gradient_cosine_steps, and train none.", show_default=False
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The folder; by default the run folder's name and -relate.", show_default=False
    ),
    parallel: int = typer.Option(1, min=1, help="How many runs are trained at once, each in a process."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be trained, and stop."),
) -> None:
    """Measure by short runs which tasks help which, and recommend groups that should share.

    The same command continues with the runs that are missing.
    """
    from hf_mtl.cli._runs import read_recipe, run_kept
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.relations import RelationsPlan

    with quiet_libraries():
        read, folder = read_recipe(recipe, overrides, output, "-relate")
        plan = RelationsPlan.plan(
            read,
            measure=measure.value,
            score=None if score is None else score.value,
            budget=budget,
            steps=steps,
            seeds=seeds,
            earlier=run,
        )
        console = stdout_console()
        console.print(_plan_text(plan, plan.done(folder)), soft_wrap=True, markup=False)
        if dry_run:
            return
        found = run_kept(plan, folder, parallel)
        console.print(gain_table(found, console.width))
        console.print(_summary(found), soft_wrap=True, markup=False, highlight=False)
        console.print(f"All of this is in {folder / 'relations.json'}", soft_wrap=True, markup=False)


def _plan_text(plan: RelationsPlan, done: int) -> str:
    if plan.earlier is not None:
        return f"No runs: the gradients of {plan.earlier} are read."
    count, tasks, together = len(plan.runs), len(plan.prepared.tasks), len(plan.together)
    kept = f" Already done: {done}." if done else ""
    text = f"{count} run{'s' if count > 1 else ''}, {plan.steps:,} steps in all.{kept}"
    if plan.measure == "gradients":
        return f"{text}\n  gradients: all {tasks} tasks together"
    of = f" of {tasks * (tasks - 1) // 2}" if plan.measure == "pairs" else ""
    return f"{text}\n  alone: {count - together} runs of {tasks} tasks\n  {plan.measure}: {together}{of}"


def gain_table(found: Relations, width: int) -> Table:
    """Return gains, task by task; completed ones in brackets.

    Where that is wider than `width`, for each task the others that it gains most and least with.
    """
    from rich.console import Console
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table

    table = plain_table("gain of", *(f"with {name}" for name in found.tasks))
    for i, name in enumerate(found.tasks):
        cells = ["-" if i == j else _gain_text(found, i, j) for j in range(len(found.tasks))]
        table.add_row(*(Text(cell) for cell in (name, *cells)))
    return table if Console(width=10_000).measure(table).maximum <= width else _short_table(found)


def _short_table(found: Relations) -> Table:
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table

    table = plain_table("gain of", "most with", "least with")
    for i, name in enumerate(found.tasks):
        others = sorted((gain, j) for j, gain in enumerate(found.completion.table[i].tolist()) if j != i)
        cells = [f"{found.tasks[j]} {_gain_text(found, i, j)}" for _, j in (others[-1], others[0])]
        table.add_row(*(Text(cell) for cell in (name, *cells)))
    return table


def _gain_text(found: Relations, i: int, j: int) -> str:
    gain = found.completion.table[i, j]
    text = f"{gain:+.1f}" if abs(gain) >= 0.05 else "0.0"
    return f"({text})" if math.isnan(found.measured[i, j]) else text


def _summary(found: Relations) -> str:
    done = found.completion
    own = f"error {done.error:.2f}, sign right in {done.sign_accuracy:.0%}"
    rank_0 = f" Rank 0: error {done.rank_0_error:.2f}, sign right in {done.rank_0_sign_accuracy:.0%}."
    besides = rank_0 if done.rank else ""
    return (
        f"A gain of 1 is {found.unit}; (completed).\n"
        f"The completion has rank {done.rank}, chosen on pairs left out: {own}.{besides} The mean of the others in "
        f"place of all: error {done.mean_error:.2f}.\n{found.verdict}\n\n{found.fragment}"
    )
