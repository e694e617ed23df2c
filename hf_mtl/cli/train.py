"""``hf-mtl train``: from a recipe to a run folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.recipe import BuiltRecipe

__all__ = ["check_run_folder", "train"]

#: Warnings about the data that a dry run shows.
_MOST_REMARKS = 5
_CHECKPOINT = re.compile(r"^checkpoint-\d+$")


def train(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.learning_rate=1e-4", show_default=False
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, print the table, and stop."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace the model that the run folder holds."),
    resume: bool = typer.Option(False, "--resume", help="Continue from the run folder's last checkpoint."),
) -> None:
    """Train a model as a recipe says, evaluate it, and write it to the recipe's training.output_dir."""
    from hf_mtl.recipe import ReadRecipe

    if overwrite and resume:
        raise UserError("--overwrite and --resume contradict each other. Give one of them.")
    if not dry_run and not recipe.is_fifo():  # before torch is imported; a pipe can be read once
        check_run_folder(ReadRecipe.load(recipe, overrides or []).run_folder, overwrite, resume)

    from hf_mtl.cli._crash import report_crashes_in
    from hf_mtl.cli._tables import training_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console, write_line
    from hf_mtl.data import remarks_on
    from hf_mtl.recipe import RECIPE, Recipe, one_line

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        folder = Path(read.training_arguments().output_dir or "")
        if dry_run:
            _check_place(folder)
        else:
            check_run_folder(folder, overwrite, resume)
        read.load_processors()
        prepared = read.prepare()
        console = stdout_console()
        console.print(training_table(prepared.summary(), prepared.main_metrics(), console.width))
        for name, strategy in prepared.strategies().items():
            console.print(f"{name}: {strategy}", markup=False, highlight=False)
        if dry_run:
            remarks = [remark for look in prepared.look() for remark in remarks_on(look, prepared.tasks)]
            for remark in remarks[:_MOST_REMARKS]:
                write_line(f"warning: {remark}")
            if len(remarks) > _MOST_REMARKS:
                write_line(f"{len(remarks) - _MOST_REMARKS} more: see hf-mtl data {recipe}.")
            return
        with _removing(folder):
            built = prepared.build()
            built.trainer.get_train_dataloader()  # what it finds wrong must be found before anything is written
            if resume:
                built.trainer.check_resumable()
        if built.trainer.is_world_process_zero():
            if overwrite:
                _clear(folder)
            # A model that lies there keeps its recipe and its results until it is replaced, together with them.
            built.trainer.saved_beside = {RECIPE: prepared.text(folder)}
            if not (folder / "config.json").exists():
                prepared.write(folder)
        report_crashes_in(folder)
        try:
            _run(built, resume)
        except KeyboardInterrupt:
            if _checkpoints(folder):
                write_line("\nThe last checkpoint is kept: continue with --resume.")
            raise
        except KeyError as error:  # Trainer's, of a metric_for_best_model that does not exist
            raise UserError(one_line(error)) from error


def _check_place(folder: Path) -> None:
    """Refuse a run folder that can be none."""
    if "\0" in str(folder):
        raise UserError(f"training.output_dir: {str(folder)!r} is no name of a folder. Choose another.")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"training.output_dir: {str(existing)!r} is a file, not a folder. Choose another.")


def check_run_folder(folder: Path, overwrite: bool, resume: bool) -> None:
    """Refuse a run folder that holds a model, or that has nothing to resume.

    Raises:
        UserError: If it does.
    """
    _check_place(folder)
    checkpoints = _checkpoints(folder)
    if resume and not checkpoints:
        raise UserError(f"{str(folder)!r} holds no checkpoint to resume from. Train without --resume.")
    holds_model = bool(checkpoints) or (folder / "config.json").exists() or (folder / "model.safetensors").exists()
    if holds_model and not overwrite and not resume:
        more = ", continue it with --resume" if checkpoints else ""
        raise UserError(
            f"{str(folder)!r} already holds a trained model. Replace it with --overwrite{more}, or choose "
            "another training.output_dir."
        )


@contextmanager
def _removing(folder: Path) -> Iterator[None]:
    """Remove the folders that a failed trainer made: it makes its own before it has seen all arguments."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except Exception:
        for path in missing:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        raise


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and _CHECKPOINT.match(path.name)]


def _clear(folder: Path) -> None:
    """Remove an earlier run's checkpoints, and its results where it left no model; what else is there stays."""
    from hf_mtl.model import RESULTS, TRAINING_LOG
    from hf_mtl.trainer import remove_checkpoints

    remove_checkpoints(folder, _checkpoints(folder))
    if not (folder / "config.json").exists():
        for name in (*RESULTS, *TRAINING_LOG):
            (folder / name).unlink(missing_ok=True)


def _run(built: BuiltRecipe, resume: bool) -> None:
    """Train with progress, and show the scores."""
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._tables import calibration_text, score_table, tuning_text
    from hf_mtl.cli._terminal import stdout_console

    trainer, prepared = built.trainer, built.prepared
    main_metrics = prepared.main_metrics()
    show_progress(trainer, main_metrics, has_bar=not prepared.recipe.training.get("disable_tqdm"))
    found = built.train(resume)
    if not trainer.is_world_process_zero():
        return
    console = stdout_console()
    if found:
        console.print(score_table(prepared.tasks, main_metrics, found))
    if trainer.tuned_thresholds:
        console.print(tuning_text(trainer.tuned_thresholds), markup=False, highlight=False, soft_wrap=True)
    if trainer.calibrated_tasks:
        text = calibration_text(trainer.calibrated_tasks, [task.name for task in prepared.tasks])
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"Model, recipe and results are in {built.trainer.args.output_dir}", markup=False, soft_wrap=True)
    if trainer.args.push_to_hub:
        trainer.push_to_hub()
