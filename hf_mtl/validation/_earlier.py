"""The run that a recipe was trained in before it was compared."""

from __future__ import annotations

import json
from pathlib import Path

from hf_mtl.recipe import PreparedRecipe

__all__ = ["earlier_run"]


def earlier_run(prepared: PreparedRecipe) -> Path | None:
    """Return the recipe's run folder, if it holds a finished run of the same recipe on as many rows.

    Args:
        prepared: The recipe with its rows.
    """
    folder = Path(prepared.args.output_dir or "")
    try:
        recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
        results = json.loads((folder / "train_results.json").read_text(encoding="utf-8"))
        rows = results.get("train_samples")
    except (OSError, ValueError, AttributeError):
        return None
    is_same = recipe == prepared.text(folder) and rows == sum(len(data) for data in prepared.train.values())
    return folder if is_same and (folder / "config.json").exists() else None
