"""The score of a model on a recipe's validation rows, by which a command chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.cli._model import idle_trainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hf_mtl.model import MultiTaskModel

__all__ = ["validation_scorer"]


def validation_scorer(
    path: Path, model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[MultiTaskModel], float]:
    """Return what gives a model the mean of its tasks' main metrics on the validation rows of a recipe.

    Args:
        path: The recipe.
        model: A model of the tasks that are scored.
        tokenizer: The tokenizer of all models.

    Raises:
        RecipeError: If the recipe has no validation rows for these tasks.
    """
    from hf_mtl.cli._progress import show_progress
    from hf_mtl.recipe import Recipe

    recipe = Recipe.load(path)
    data = recipe.prepare_for(model.tasks, "validation")

    def score(scored: MultiTaskModel) -> float:
        with idle_trainer(scored, tokenizer, recipe) as trainer:
            show_progress(trainer, {})
            return float(trainer.evaluate(data)["eval_score"])

    return score
