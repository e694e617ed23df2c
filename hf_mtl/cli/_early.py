"""Mistakes that are found before anything large is imported: torch and Transformers take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hf_mtl_light.errors import UserError

__all__ = ["check_model", "check_recipe"]


def check_recipe(recipe: Path | None, overrides: Sequence[str] = (), *, trains: bool = False) -> None:
    """Check a recipe as far as it goes without torch; the command reads it again, and checks all of it.

    Args:
        recipe: The file; ``None``: none is given. A pipe is left to the command: it can be read once.
        overrides: Values in place of the recipe's.
        trains: Whether the command trains it; else it reads its data alone.

    Raises:
        RecipeError: At the first mistake.
    """
    if recipe is None or recipe.is_fifo():
        return
    from hf_mtl.recipe import ReadRecipe

    ReadRecipe.load(recipe, overrides).check_early(trains=trains)


def check_model(name: str) -> Path | None:
    """Return the folder of a model, checked; ``None`` for one of the Hub.

    Args:
        name: Its folder, or its id on the Hub.

    Raises:
        UserError: If the folder does not exist, or holds no model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UserError(f"model {name!r}: the folder has no config.json, so it holds no model.")
        return folder
    if folder.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"model {name!r}: no such folder.")
    return None
