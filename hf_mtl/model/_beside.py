"""What lies beside a model's weights and says something of them: it goes when other weights take their place."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hf_mtl_light.folders import files_replaced

__all__ = ["HISTORY", "JUDGED", "RESULTS", "TRAINING_LOG", "is_multi_task", "model_replaced", "outlived"]

#: What lies beside a model of its scores.
RESULTS = ("all_results.json", "train_results.json", "eval_results.json", "test_results.json")
#: What it was compared with and calibrated by, which does not hold for other weights.
JUDGED = ("sharing.json", "relations.json", "calibration.json")
#: How it was trained, as a run's log says it, and by which recipe and arguments.
TRAINING_LOG = ("trainer_state.json", "report.html")
HISTORY = (*TRAINING_LOG, "recipe.yaml", "training_args.json", "training_args.bin")


@contextmanager
def model_replaced(folder: Path, model: Any) -> Iterator[Path]:
    """Yield where the files of a model are written that is saved by itself, not by a trainer or a command.

    Of another model in that folder the results and the log go with its weights, and its card is rewritten; what a
    person wrote into the card stays. The same model saved again changes nothing.

    Args:
        folder: The folder; it need not exist.
        model: The model.
    """
    with files_replaced(folder, lambda new: outlived(new, folder, model)) as new:
        yield new
        if new != folder and outlived(new, folder, model) and is_multi_task(folder):
            _write_card(new, folder, model)


def outlived(new: Path, folder: Path, model: Any) -> tuple[str, ...]:
    """Return the names of files in a folder that say nothing of the model that is about to replace the one there.

    Args:
        new: Holds the new model's files.
        folder: Holds the old model's.
        model: The new model.
    """
    same_weights = _weights_in(new) == _weights_in(folder) and all(
        filecmp.cmp(new / name, folder / name, shallow=False) for name in _weights_in(new)
    )
    if same_weights and _tasks_in(new) == _tasks_in(folder):
        return ()
    origin = model.config.name_or_path
    is_changed = same_weights or (bool(origin) and Path(origin).resolve() == folder.resolve())
    return (*RESULTS, *JUDGED) if is_changed else (*RESULTS, *JUDGED, *HISTORY)


def is_multi_task(folder: Path) -> bool:
    """Whether a folder holds a multi-task model."""
    return _tasks_in(folder) is not None


def _weights_in(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.safetensors")}


def _tasks_in(folder: Path) -> Any:
    """Return the tasks of the model in a folder; ``None``: it is no multi-task model."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("tasks")
    except (OSError, ValueError, AttributeError):
        return None


# An import within `try` is not part of the code that a self-contained model takes along: see `hf_mtl.hub`.


def _write_card(new: Path, folder: Path, model: Any) -> None:
    if not (folder / "README.md").is_file():
        return
    try:
        from hf_mtl.model_card import CardFacts, write_card
    except ImportError:  # the model's own code, without this package
        return
    facts = CardFacts.of_model(model, folder.absolute().name)
    write_card(new / "README.md", facts, earlier=folder / "README.md")
