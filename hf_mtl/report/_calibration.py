"""What a calibration changed: a table, and for each task how often answers with a score are right."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from hf_mtl.report._history import Run
from hf_mtl.report._tables import table_of, table_row
from hf_mtl.report._text import printable

__all__ = ["calibration_section"]

_FIGURES = {"expected_calibration_error": "calibration error", "negative_log_likelihood": "log-likelihood loss"}


def calibration_section(run: Run) -> str:
    """Return reliability diagrams before and after; empty where the model that the run holds is not calibrated.

    Args:
        run: The run.
    """
    from hf_mtl.report._error_figures import draw_reliability

    rows, figures = [], []
    for number, (task, found) in enumerate(run.calibration.items()):
        figured = [f"{_number(found, side, key):.4f}" for key in _FIGURES for side in ("before", "after")]
        items, temperature = found.get("items"), found.get("temperature")
        rows.append(table_row([task], [f"{items:,}", f"{temperature:.3f}", *figured]))
        before, after = (np.array(found.get(f"bins_{side}") or np.zeros((0, 3))) for side in ("before", "after"))
        if len(before) and len(after):
            drawn = draw_reliability(after, f"calibration-{number}", before)
            figures.append(f"<figure><figcaption>{escape(printable(task))}</figcaption>{drawn}</figure>")
    if not rows:
        return ""
    heads = [f"{name} {side}" for name in _FIGURES.values() for side in ("before", "after")]
    table = table_of(["task"], ["items", "temperature", *heads], rows)
    text = (
        "Logits are divided by a temperature, fitted on rows that the model was not trained on. Lines: of the answers "
        "with a score, the share that is right; on the diagonal they mean what they say. Bars: how many answers there "
        "are."
    )
    legend = "".join(
        f'<li><svg viewBox="0 0 28 8" class="key"><path d="M0 4H28" style="stroke: var(--series-{number})"/></svg>'
        f"{side}</li>"
        for number, side in ((1, "before"), (0, "after"))
    )
    shown = f'<ul class="legend">{legend}</ul><div class="pair">{"".join(figures)}</div>' if figures else ""
    return f"<h2>Calibration</h2><p>{text}</p>{table}{shown}"


def _number(found: Mapping[str, Any], side: str, key: str) -> float:
    return float((found.get(side) or {}).get(key, float("nan")))
