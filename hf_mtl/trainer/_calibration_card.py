"""What a calibration changed, as a section of the model's card, and for the run's report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from hf_mtl.model import MultiTaskModel
from hf_mtl.model_card import write_section
from hf_mtl.trainer._calibration import CalibratedTask
from hf_mtl_light.outputs import write_text_whole
from hf_mtl_light.text import cell_text

__all__ = ["write_calibration"]


def write_calibration(card: Path, model: MultiTaskModel, calibrated: Mapping[str, CalibratedTask]) -> None:
    """Write what the calibrations changed into an existing card, and beside it, for the report.

    Without any that hold both stay as they are. ``calibration.json`` holds the fields of `CalibratedTask` by task.

    Args:
        card: The card.
        model: The model; what was calibrated before its weights changed is left out.
        calibrated: What ``trainer.calibrate`` returned.
    """
    held = {task.name: task for task in model.tasks if task.calibration_temperature is not None}
    kept = {
        name: found
        for name, found in calibrated.items()
        if name in held and held[name].calibration_temperature == found.temperature
    }
    if kept:
        found = {name: dataclasses.asdict(of) for name, of in kept.items()}
        write_text_whole(card.parent / "calibration.json", json.dumps(found, indent=2) + "\n")
        write_section(card, "calibration", "Calibration", _text(kept))


def _text(calibrated: Mapping[str, CalibratedTask]) -> str:
    lines = [
        "Scores are the logits divided by a temperature, fitted on rows that the model was not trained on. Figures are "
        "of these rows.",
        "",
        "| task | items | temperature | calibration error before | after | Brier score before | after "
        "| log-likelihood loss before | after |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in calibrated.items():
        numbers = [f"{side[key]:.4f}" for key in found.before for side in (found.before, found.after)]
        lines.append(f"| {cell_text(name)} | {found.items:,} | {found.temperature:.3f} | {' | '.join(numbers)} |")
    sets = [
        f"- {cell_text(name)}, coverage {coverage}: labels with a score of at least {threshold:.4f}"
        for name, found in calibrated.items()
        for coverage, threshold in found.conformal_thresholds.items()
    ]
    if sets:
        lines += ["", "Sets that hold the true label in such a part of rows:", "", *sets]
    return "\n".join(lines)
