"""``hf-mtl calibrate``: scores of a trained model's answers that mean what they say."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["calibrate"]


def calibrate(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    recipe: Path = typer.Argument(help="The recipe that names the data.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.per_device_eval_batch_size=64", show_default=False
    ),
    output: Path = typer.Option(
        ..., "--output", "-o", help="The changed model's folder; it may be the model's own.", show_default=False
    ),
    tasks: str | None = typer.Option(None, help="Names of the tasks, with commas; all with probabilities by default."),
    coverage: list[float] | None = typer.Option(
        None,
        help="Find also the thresholds of sets of labels that hold the truth in such a part of rows, for predict "
        "--coverage; may be given several times.",
        show_default=False,
    ),
) -> None:
    """Fit a temperature for each task on the recipe's validation rows; weights and decisions stay as they are."""
    from hf_mtl.cli._model import idle_trainer, load_model, named_in, save_changed
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._tables import calibration_text
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.recipe import Recipe

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        loaded, tokenizer = load_model(model)
        chosen = named_in(tasks)
        data = read.prepare_for(loaded.tasks, "validation")
        with idle_trainer(loaded, tokenizer, read) as trainer:
            show_progress(trainer, {})
            calibrated = trainer.calibrate(data, tasks=chosen, coverage=coverage)
        if not trainer.is_world_process_zero():
            return
        save_changed(loaded, tokenizer, output)
    text = calibration_text(calibrated, list(loaded.task_heads))
    stdout_console().print(text, markup=False, highlight=False, soft_wrap=True)
