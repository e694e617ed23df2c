"""Figures of errors: what is taken for what, and how often scores are right."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hf_mtl.report._figures import RC, colour_of, figure_svg, matrix_axes
from hf_mtl.report._text import printable

__all__ = ["draw_confusion", "draw_reliability"]


def draw_confusion(names: Sequence[str], counts: np.ndarray, name: str) -> str:
    """Return counts [C, C] of what is true (rows) and predicted (columns), coloured by the share of their row.

    Args:
        names: The labels.
        counts: The counts.
        name: The figure's name, unique on its page.
    """
    size = len(names)
    cell = max(0.3, 0.62 - 0.02 * size)  # inches
    with matplotlib.style.context({**RC, "axes.grid": False, "font.size": 7}, after_reset=True):
        figure, axes = matrix_axes(names, cell, 0.06 * max(len(printable(label, 20)) for label in names) + 0.4)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = colour_of(0 if row == column else 1)
            share = float(shares[row, column])
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=0.08 + 0.6 * share, linewidth=0))
            axes.text(column + 0.5, row + 0.5, f"{counts[row, column]:,}", ha="center", va="center", fontsize=6)
        axes.set(xlabel="predicted", ylabel="true")
        axes.xaxis.set_label_position("top")
        return figure_svg(figure, name, "what is true and what was predicted")


def draw_reliability(bins: np.ndarray, name: str, before: np.ndarray | None = None) -> str:
    """Return a reliability diagram: of answers with a score, how many are right, beside how many there are.

    Args:
        bins: [bins, 3], as `hf_mtl.metrics.calibration_bins` gives them.
        name: The figure's name, unique on its page.
        before: The same before a calibration, drawn in the second colour.
    """
    with matplotlib.style.context(RC, after_reset=True):
        figure = Figure(figsize=(3.4, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=colour_of(None), linewidth=0.8, linestyle=(0, (4, 3)))
        edges, width = np.arange(len(bins)) / len(bins), 1 / len(bins)
        counts = bins[:, 0]
        heights = counts / (counts.max() or 1) * 0.25
        axes.bar(edges, heights, width, align="edge", color=colour_of(7), alpha=0.35, linewidth=0)
        for number, marker, table in ((1, "s", before), (0, "o", bins)):
            if table is not None:
                items, scores, right = table[table[:, 0] > 0].T
                axes.plot(scores / items, right / items, color=colour_of(number), marker=marker)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="score", ylabel="share of right answers")
        return figure_svg(figure, name, "scores and how often they are right")
