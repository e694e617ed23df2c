"""``hf-mtl evaluate``: a trained model's scores on a recipe's data."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path

import typer

from hf_mtl.cli._early import check_model

__all__ = ["evaluate"]


class Split(str, Enum):
    """The split to score on."""

    validation = "validation"
    test = "test"


def evaluate(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    recipe: Path = typer.Argument(help="The recipe that names the data.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.per_device_eval_batch_size=64", show_default=False
    ),
    split: Split = typer.Option(Split.validation, help="The split to score on."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Write the metrics to a JSON file."),
) -> None:
    """Score a model. Its own tasks are the truth for types and labels; the recipe says where the rows are."""
    check_model(model)
    from hf_mtl.cli._files import check_writable, write_whole
    from hf_mtl.cli._model import idle_trainer, load_model
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.cli._tables import score_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.heads import head_class
    from hf_mtl.recipe import Recipe

    with quiet_libraries():
        read = Recipe.load(recipe, overrides or [])
        if output is not None:
            check_writable(output)
        loaded, tokenizer = load_model(model)
        data = read.prepare_for(loaded.tasks, split.value)
        prefix = "eval" if split is Split.validation else "test"
        with idle_trainer(loaded, tokenizer, read) as trainer:
            main_metrics = {t.name: head_class(t).main_metric(t) for t in loaded.tasks}
            show_progress(trainer, main_metrics)
            metrics = trainer.evaluate(data, metric_key_prefix=prefix)
            metrics.pop("epoch", None)  # of this trainer, which has trained nothing
        if not trainer.is_world_process_zero():
            return
        if output is not None:
            with write_whole(output) as stream:
                stream.write(json.dumps(metrics, indent=4, sort_keys=True) + "\n")
        stdout_console().print(score_table(loaded.tasks, main_metrics, {split.value: metrics}))
