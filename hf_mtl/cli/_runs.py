"""What commands share that train a recipe many times: where the runs lie, and what a stop leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_mtl.cli._terminal import write_line

if TYPE_CHECKING:
    from hf_mtl.recipe import Recipe

__all__ = ["read_recipe", "run_kept"]


def read_recipe(file: Path, overrides: Sequence[str] | None, output: Path | None, ending: str) -> tuple[Recipe, Path]:
    """Return a recipe, whose tokenizer and image processor can be loaded, and the folder of its runs.

    Args:
        file: The recipe's file.
        overrides: Values in place of the recipe's.
        output: The folder; ``None``: the run folder's name and the ending.
        ending: Such as ``"-cv"``.

    Raises:
        ValueError: At the first mistake.
    """
    from hf_mtl.recipe import Recipe

    recipe = Recipe.load(file, overrides or [])
    folder = output or Path(f"{recipe.training_arguments().output_dir}{ending}")
    recipe.load_processors()
    return recipe, folder


def run_kept(plan: Any, folder: Path, parallel: int, what: str = "runs") -> Any:
    """Run what a plan lacks, and return what it says; where a person stops it, say how much is kept.

    Args:
        plan: A `CrossValidation`, a `Comparison` or a `RelationsPlan`.
        folder: The folder of its runs.
        parallel: How many runs are trained at once.
        what: What the runs are called.
    """
    try:
        return plan.run(folder, parallel=parallel)
    except KeyboardInterrupt:
        write_line(f"\n{plan.done(folder)} of {len(plan.runs)} {what} are kept: the same command continues.")
        raise
