"""``hf-mtl sweep``: the same recipe with other values, many times, and the best of them as a recipe."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from rich.table import Table

    from hf_mtl.cli._space import Space
    from hf_mtl.cli._trials import Sweep
    from hf_mtl.recipe import PreparedRecipe, Recipe

__all__ = ["sweep"]


def sweep(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.num_train_epochs=1", show_default=False
    ),
    space: Path = typer.Option(
        ..., help="A YAML file: keys of the recipe, each with a list of values or a range.", show_default=False
    ),
    trials: int = typer.Option(20, min=1, help="How many trials the folder holds in the end."),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The sweep's folder; by default the run folder's name and -sweep."
    ),
    prune: bool = typer.Option(True, help="Stop trials early whose evaluations are worse than those of most."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be trained, and stop."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the trials that the folder holds."),
    resume: bool = typer.Option(False, "--resume", help="Continue with the trials that the folder holds."),
) -> None:
    """Train a recipe with values of a space, and write the best as a recipe: best.yaml, which train takes as it is.

    Trials are judged by training.metric_for_best_model on the validation rows; by default the mean of all tasks.
    """
    if overwrite and resume:
        raise UserError("--overwrite and --resume contradict each other. Give one of them.")

    from hf_mtl.cli._space import Space
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console, write_line
    from hf_mtl.cli._trials import DATABASE, Judge, Sweep, fingerprint, opened_study
    from hf_mtl.recipe import Recipe

    given = overrides or []
    with quiet_libraries():
        searched = Space.load(space)
        read = Recipe.load(recipe, given)
        args = read.training_arguments()
        found = searched.check(recipe, given, space)
        folder = output or Path(f"{args.output_dir}-sweep")
        _check_folder(folder, (folder / DATABASE).exists(), overwrite, resume, dry_run)
        if args.world_size > 1:
            raise UserError(f"A sweep trains in one process, and this one is of {args.world_size}. Start it alone.")
        read.load_processors()
        prepared = read.prepare()
        if not prepared.validation:
            raise UserError("Trials are compared on validation rows, and no dataset has any. Set its validation_size.")
        combinations = searched.combinations()
        count = trials if combinations is None else min(trials, len(combinations))
        _show_plan(searched, prepared, found, count, len(combinations or ()))
        if dry_run:
            return
        if overwrite:
            _clear(folder)
        judge = Judge.of(args)
        with opened_study(folder, fingerprint(read, searched, judge), judge, prune) as study:
            task = Sweep(study, recipe, given, searched, folder, judge, args.seed)
            try:
                _run(task, count)
            except KeyboardInterrupt:
                write_line(f"\n{len(task.finished())} trials are kept: continue with --resume.")
                raise
            finally:
                if task.finished():
                    stdout_console().print(_table(task))
            best = task.write_best()
        if best is None:
            raise UserError("No trial came to its end with a score, so there is no best recipe. Narrow the space.")
        stdout_console().print(f"The best recipe is {best}: hf-mtl train {best}", markup=False, soft_wrap=True)


def _check_folder(folder: Path, holds_trials: bool, overwrite: bool, resume: bool, dry_run: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file, not a folder. Choose another with -o.")
    if resume and not holds_trials:
        raise UserError(f"{str(folder)!r} holds no trials to resume. Sweep without --resume.")
    if holds_trials and not (overwrite or resume or dry_run):
        raise UserError(
            f"{str(folder)!r} already holds trials. Continue with --resume, replace them with --overwrite, or choose "
            "another folder with -o."
        )


def _clear(folder: Path) -> None:
    """Remove an earlier sweep; what else the folder holds stays. The trials go last: until then it can be resumed."""
    from hf_mtl.cli._trials import BEST, DATABASE, SCRATCH

    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for name in (BEST, f"{DATABASE}-journal", DATABASE):
        (folder / name).unlink(missing_ok=True)


def _show_plan(space: Space, prepared: PreparedRecipe, recipes: list[Recipe], count: int, combinations: int) -> None:
    from hf_mtl.cli._terminal import stdout_console

    steps = [prepared.steps(recipe.training_arguments()) for recipe in recipes]
    low, high = min(steps), max(steps)
    each = f"{low:,} steps" if low == high else f"{low:,} to {high:,} steps"
    total = f"{count * low:,}" if low == high else f"{count * low:,} to {count * high:,}"
    lines = [f"{count:,} trials of {each}, {total} in all."]
    if combinations == count:
        lines = [f"{lines[0]} They are all combinations of the values."]
    for key in space.keys:
        lines.append(f"  {key}: {_described(space, key)}")
    stdout_console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _described(space: Space, key: str) -> str:
    if key in space.choices:
        return ", ".join(space.choices[key])
    limits = space.ranges[key]
    kind = ", whole numbers" if limits["int"] else ""
    step = "" if limits["step"] is None else f" in steps of {limits['step']:g}"
    return f"{limits['low']:g} to {limits['high']:g}{step}{kind}{', logarithmic' if limits['log'] else ''}"


def _run(task: Sweep, count: int) -> None:
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._terminal import write_line

    def show(trainer: Any, prepared: PreparedRecipe) -> None:
        show_progress(trainer, prepared.main_metrics(), has_bar=not prepared.recipe.training.get("disable_tqdm"))

    while len(task.finished()) < count:
        trial = task.run(show)
        logging.getLogger("hf_mtl").setLevel(logging.ERROR)  # what is said of the data was said once
        best = task.best()
        if best is not None and best.number == trial.number:
            task.write_best()
        values = "  ".join(f"{key.removeprefix('training.')} {_shown(trial.params[key])}" for key in task.space.keys)
        against = "" if best is None or best.number == trial.number else f", best {best.value:.4f}"
        write_line(f"trial {len(task.finished())}/{count}  {_result(trial)}{against}  ({values})")


def _result(trial: FrozenTrial) -> str:
    score = _score(trial)
    return str(trial.user_attrs.get("reason") or "stopped early") if score is None else f"{score:.4f}"


def _score(trial: FrozenTrial) -> float | None:
    """Return a trial's score; ``None`` of one that was stopped, whose value is of the middle of its training."""
    return trial.value if trial.state.name == "COMPLETE" else None


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace('"', "").strip("{}")


def _table(task: Sweep) -> Table:
    """Return a line for each finished trial, the best one marked."""
    from rich.text import Text

    from hf_mtl.cli._plain_table import plain_table

    short = [key.removeprefix("training.") for key in task.space.keys]
    table = plain_table(
        "trial", *short, task.judge.metric, "seconds", "", right=("trial", task.judge.metric, "seconds")
    )
    best = task.best()
    for number, trial in enumerate(task.finished(), 1):
        is_best = best is not None and trial.number == best.number
        score, is_whole = _result(trial), _score(trial) is not None
        note = "best" if is_best else "" if is_whole else score
        values = (_shown(trial.params[key]) for key in task.space.keys)
        cells = (str(number), *values, score if is_whole else "-", str(trial.user_attrs.get("seconds", "")), note)
        table.add_row(*(Text(cell, style="bold" if is_best else "") for cell in cells))
    return table
