"""Which tasks help which: the table of gains as a matrix, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from hf_mtl.report._history import Run
from hf_mtl.report._text import printable

__all__ = ["relations_section"]


def relations_section(run: Run) -> str:
    """Return the matrix of gains; empty where `hf_mtl.relations.relate` wrote none.

    Args:
        run: The run, or the folder of a table of gains.
    """
    found = run.relations
    if not found:
        return ""
    tasks = [task for group in found["groups"] for task in group] or found["tasks"]
    order = [found["tasks"].index(task) for task in tasks]
    measured, completed = (_table(found[name])[np.ix_(order, order)] for name in ("measured", "completed"))
    sizes = [len(group) for group in found["groups"]]
    lines = [
        f"What the task of a row gains when the task of a column is trained with it, by {found['measure']}, in its "
        f"{found['score']}. A gain of 1 is {found['unit']}. In brackets: completed, not measured."
        + (" Frames: groups that should share." if found["groups"] else ""),
        _worth(found["completion"]),
        found["recommendation"],
    ]
    if found["left_out"]:
        lines.append(f"Better left out: {', '.join(found['left_out'])}.")
    text = "".join(f"<p>{escape(printable(line, 1000))}</p>" for line in lines)
    lines_of_recipe = f"<summary>As lines of a recipe</summary><pre>{escape(found['fragment'])}</pre>"
    fragment = f"<details>{lines_of_recipe}</details>" if found["fragment"] else ""
    drawn = draw_gains(tasks, measured, completed, sizes, "relations")
    return f"<h2>Which tasks help which</h2>{text}{drawn}{fragment}"


def _table(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array([[math.nan if value is None else value for value in row] for row in rows], dtype=np.float64)


def _worth(completion: Mapping[str, Any]) -> str:
    def shown(name: str) -> str:
        right = completion[f"{name}sign_accuracy"]
        return f"error {completion[f'{name}error']:.2f}, sign right in {'-' if right is None else f'{right:.0%}'}"

    rank_0 = "" if completion["rank"] == 0 else f" Rank 0: {shown('rank_0_')}."
    return (
        f"The completion has rank {completion['rank']}, chosen on pairs left out: {shown('')}.{rank_0} The mean of "
        f"the others in place of all: error {completion['mean_error']:.2f}."
    )


def draw_gains(
    tasks: Sequence[str], measured: np.ndarray, completed: np.ndarray, sizes: Sequence[int], name: str
) -> str:
    """Return a matrix of gains: the stronger the colour, the larger the gain or the harm.

    Args:
        tasks: Names of rows and columns.
        measured: [T, T], NaN where nothing was measured.
        completed: [T, T], NaN on the diagonal.
        sizes: How many tasks each group has, in order; those of two and more are framed.
        name: The figure's name, unique on its page.
    """
    import matplotlib.style
    from matplotlib.patches import Rectangle

    from hf_mtl.report._figures import RC, colour_of, figure_svg, matrix_axes

    size = len(tasks)
    cell = max(0.36, min(0.6, 7 / size))  # inches
    margin = 0.058 * max(len(printable(task, 20)) for task in tasks) + 0.12
    # Of some strong entries the others must not turn pale.
    limit = max(float(np.nanquantile(np.abs(completed), 0.9)), 1e-9) if np.isfinite(completed).any() else 1.0
    with matplotlib.style.context({**RC, "axes.grid": False, "font.size": 7}, after_reset=True):
        figure, axes = matrix_axes(tasks, cell, margin)
        for row, column in zip(*np.nonzero(np.isfinite(completed)), strict=True):
            gain, known = completed[row, column], not math.isnan(measured[row, column])
            strength = 0.7 * min(abs(gain) / limit, 1.0)
            colour = colour_of(0 if gain >= 0 else 1)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=strength, linewidth=0))
            text = f"{gain:+.1f}" if abs(gain) >= 0.05 else "0.0"
            text = text if known else f"({text})"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7 if cell >= 0.45 else 5.5)
        start = 0
        for length in sizes:
            if length > 1:
                frame = Rectangle((start, start), length, length, fill=False, edgecolor=colour_of(None), linewidth=1.2)
                frame.set_clip_on(False)
                axes.add_patch(frame)
            start += length
        return figure_svg(figure, name, "gains of tasks from one another")
