"""Recipes: one YAML file that says encoder, datasets, tasks and training.

.. code-block:: yaml

    encoder: google-bert/bert-base-uncased            # Hub id or folder
    datasets:
      snips:
        load: {path: parquet, data_files: {train: a.parquet, test: c.parquet}}  # arguments of datasets.load_dataset
        columns: {tokens: tokens, intent: intent, slot_tags: slots}             # column: input or task name
        validation_size: 0.1                          # held out of train, for want of a validation split
    tasks:
      slots: {weight: 2}                              # what cannot be inferred, or is to differ
    training: {output_dir: runs/assistant, num_train_epochs: 3, learning_rate: 5e-5}
    sampling: {strategy: proportional}

`Recipe.load` reads and checks it (`ReadRecipe`, its base, without torch), `Recipe.prepare` loads the datasets and
infers types and labels of the tasks, `PreparedRecipe.build` loads the encoder and makes a trainer. Every mistake is a
`RecipeError` of one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_mtl._later import later
from hf_mtl.recipe._mistakes import RecipeError, one_line
from hf_mtl.recipe._read import ReadRecipe
from hf_mtl.recipe._yaml import read_yaml

if TYPE_CHECKING:
    from hf_mtl.recipe._continued import narrowed_options
    from hf_mtl.recipe._prepared import RECIPE, BuiltRecipe, PreparedRecipe
    from hf_mtl.recipe._recipe import Recipe
    from hf_mtl.recipe._rows import has_labels

__all__ = [
    "RECIPE",
    "BuiltRecipe",
    "PreparedRecipe",
    "ReadRecipe",
    "Recipe",
    "RecipeError",
    "has_labels",
    "narrowed_options",
    "one_line",
    "read_yaml",
]

#: What needs torch and Transformers, and where it lies: the command line finds most mistakes without them.
_LATER = {
    "RECIPE": "_prepared",
    "BuiltRecipe": "_prepared",
    "PreparedRecipe": "_prepared",
    "Recipe": "_recipe",
    "has_labels": "_rows",
    "narrowed_options": "_continued",
}


def __getattr__(name: str) -> Any:
    return later(name, __name__, _LATER)
