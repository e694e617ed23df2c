"""``hf-mtl tune``: the scores from which a trained model's multi-label tasks name their labels."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer

from hf_mtl.cli._early import check_model

__all__ = ["tune"]


class How(str, Enum):
    """What is tuned."""

    per_label = "per-label"
    all_labels = "global"


def tune(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    recipe: Path = typer.Argument(help="The recipe that names the data.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.per_device_eval_batch_size=64", show_default=False
    ),
    output: Path = typer.Option(
        ..., "--output", "-o", help="The changed model's folder; it may be the model's own.", show_default=False
    ),
    how: How = typer.Option(How.per_label, help="A threshold for each label, or one for all."),
) -> None:
    """Tune the thresholds of a model's multi-label tasks on the recipe's validation rows; weights stay as they are."""
    check_model(model)
    from hf_mtl.cli._model import idle_trainer, load_model, save_changed
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._tables import tuning_text
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.recipe import Recipe

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        loaded, tokenizer = load_model(model)
        data = read.prepare_for(loaded.tasks, "validation")
        with idle_trainer(loaded, tokenizer, read) as trainer:
            show_progress(trainer, {})
            tuned = trainer.tune_thresholds(data, how=how.value)
        if not trainer.is_world_process_zero():
            return
        save_changed(loaded, tokenizer, output)
    stdout_console().print(tuning_text(tuned), markup=False, highlight=False, soft_wrap=True)
