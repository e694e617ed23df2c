"""``hf-mtl calibrate``: scores of a trained model's answers that mean what they say."""

from __future__ import annotations

from pathlib import Path

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError

__all__ = ["calibrate"]


def calibrate(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    recipe: Path = typer.Argument(help="The recipe that names the data.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.per_device_eval_batch_size=64", show_default=False
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The changed model's folder; it may be the model's own.", show_default=False
    ),
    tasks: str | None = typer.Option(None, help="Names of the tasks, with commas; all with probabilities by default."),
    coverage: list[float] | None = typer.Option(
        None,
        help="Find also the thresholds of sets of labels that hold the truth in such a part of rows, for predict "
        "--coverage; may be given several times.",
        show_default=False,
    ),
    oof: Path | None = typer.Option(
        None,
        help="Fit to out-of-fold probabilities of the training rows: the oof.parquet of hf-mtl cv of the recipe.",
        show_default=False,
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, say what would be done, and stop."),
) -> None:
    """Fit a temperature for each task on the recipe's validation rows; weights and decisions stay as they are."""
    check_model(model)
    from hf_mtl.cli._model import idle_trainer, load_model, named_in, one_pass, save_changed
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._tables import calibration_text
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.recipe import Recipe
    from hf_mtl.trainer import calibratable_tasks
    from hf_mtl.validation import calibrate_from_oof

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        loaded, tokenizer = load_model(model)
        chosen = calibratable_tasks(loaded, named_in(tasks), coverage or [])
        data = read.prepare_for(loaded.tasks, "validation" if oof is None else "train")
        if dry_run:
            what = one_pass(data, chosen, read.training_arguments()) if oof is None else f"No pass: {oof} is read."
            stdout_console().print(f"{what} Tasks to calibrate: {', '.join(chosen)}.", soft_wrap=True, markup=False)
            return
        if output is None:
            raise UserError("--output is missing: name the folder of the changed model. It may be the model's own.")
        if oof is not None:
            calibrated = calibrate_from_oof(loaded, oof, data, tasks=named_in(tasks), coverage=coverage)
        else:
            with idle_trainer(loaded, tokenizer, read) as trainer:
                show_progress(trainer, {})
                calibrated = trainer.calibrate(data, tasks=chosen, coverage=coverage)
            if not trainer.is_world_process_zero():
                return
        save_changed(loaded, tokenizer, output, calibrated)
    text = calibration_text(calibrated, list(loaded.task_heads))
    stdout_console().print(text, markup=False, highlight=False, soft_wrap=True)
