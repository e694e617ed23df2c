"""Figures as inline SVG: text stays text, and colours are the page's, so that it may be light or dark."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from hf_mtl.report._history import Series
from hf_mtl.report._text import printable

__all__ = ["RC", "SERIES", "Line", "colour_of", "draw_lines", "draw_matrix", "draw_panels", "figure_svg", "matrix_axes"]

#: The lines that one figure shows; more are drawn in a panel each.
SERIES = 8
#: Colours that stand for the page's variables until the figure is drawn.
_INK, _GRID, _PLUS, _MINUS = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {_INK: "--ink", _GRID: "--grid", _PLUS: "--series-0", _MINUS: "--series-1"}
_VARIABLES |= {f"#0500{number:02x}": f"--series-{number}" for number in range(SERIES)}
#: What figures look like.
RC = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hf_mtl",
    # Names are shown as they are: '$' begins no formula, '_' hides no label.
    "text.parse_math": False,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.5,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "lines.linewidth": 1.4,
    "lines.markersize": 3,
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_WIDTH = 9.6  # inches
#: From this many points on a line carries no marker at each.
_MANY_POINTS = 40
_DASHES = ("-", (0, (4, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")


@dataclass(frozen=True)
class Line:
    """One line of a figure.

    Args:
        series: Its points.
        number: Which of the page's colours and styles it has, from 0 on; ``None`` for the colour of text.
        has_line: Whether its points are joined; else they are dots.
    """

    series: Series
    number: int | None = None
    has_line: bool = True


def draw_lines(lines: Sequence[Line], label: str, name: str) -> str:
    """Return up to `SERIES` lines (and one in the colour of text) over the steps in one figure.

    Args:
        lines: The lines.
        label: What the vertical axis shows.
        name: The figure's name, unique on its page.
    """
    with matplotlib.style.context(RC, after_reset=True):
        figure = Figure(figsize=(_WIDTH, 3.4))
        # Margins are given: to find them, matplotlib would draw the figure once more.
        figure.subplots_adjust(0.07, 0.13, 0.99, 0.93)
        axes = figure.subplots()
        _draw(axes, lines)
        axes.set(xlabel="step", ylabel=label)
        return figure_svg(figure, name, label)


def draw_panels(panels: Mapping[str, Sequence[Line]], label: str, name: str, columns: int = 4) -> str:
    """Return a panel for each name, with its lines over the steps.

    Args:
        panels: Title of each panel and its lines.
        label: What the vertical axes show.
        name: The figure's name, unique on its page.
        columns: Panels side by side.
    """
    rows = math.ceil(len(panels) / columns)
    with matplotlib.style.context(RC, after_reset=True):
        figure = Figure(figsize=(_WIDTH, 1.6 * rows))
        figure.subplots_adjust(0.05, 0.3 / (1.6 * rows), 0.99, 1 - 0.25 / (1.6 * rows), 0.25, 0.45)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.remove()
        for axes, (title, lines) in zip(grid, panels.items(), strict=False):
            _draw(axes, lines)
            axes.set_title(printable(title, 32))
        return figure_svg(figure, name, label)


def matrix_axes(names: Sequence[str], cell: float, margin: float) -> tuple[Figure, Axes]:
    """Return a figure for a square matrix, and its axes with names above and on the left, cell (0, 0) on top.

    Args:
        names: Names of rows and columns.
        cell: The edge of a cell, inches.
        margin: Room for the names, inches.
    """
    size = len(names)
    whole = cell * size + margin + 0.05
    figure = Figure(figsize=(whole, whole))
    axes = figure.add_axes((margin / whole, 0.05 / whole, cell * size / whole, cell * size / whole))
    axes.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    places, shown = [number + 0.5 for number in range(size)], [printable(name, 20) for name in names]
    axes.set_xticks(places, shown, rotation=90)
    axes.set_yticks(places, shown)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure, axes


def draw_matrix(names: Sequence[str], values: Mapping[tuple[str, str], float], label: str, name: str) -> str:
    """Return a symmetric matrix of numbers in [-1, 1]: the stronger the colour, the further from 0.

    Args:
        names: Names of rows and columns.
        values: The number of each pair; a pair without one stays empty.
        label: What the numbers are.
        name: The figure's name, unique on its page.
    """
    size = len(names)
    cell = max(0.26, 0.6 - 0.03 * size)  # inches
    with matplotlib.style.context({**RC, "axes.grid": False, "font.size": 7}, after_reset=True):
        # The margins are computed: to find them, matplotlib would measure every text, hundreds of them.
        figure, axes = matrix_axes(names, cell, 0.058 * max(len(printable(task, 20)) for task in names) + 0.12)
        digits = 2 if size <= 12 else 1
        for (first, second), value in values.items():
            for row, column in ((names.index(first), names.index(second)), (names.index(second), names.index(first))):
                colour = _PLUS if value >= 0 else _MINUS
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=min(0.7 * abs(value), 0.7)))
                text = f"{value:.{digits}f}"
                axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7 if size <= 12 else 6)
        return figure_svg(figure, name, label)


def _draw(axes: Any, lines: Sequence[Line]) -> None:
    for line in lines:
        number = line.number
        is_sparse = len(line.series.finite) <= _MANY_POINTS
        style: dict[str, Any] = {
            "color": colour_of(number),
            "linestyle": _DASHES[0 if number is None else number % SERIES // 4] if line.has_line else "none",
            "marker": _MARKERS[0 if number is None else number % SERIES] if is_sparse or not line.has_line else "none",
        }
        if not line.has_line:
            style |= {"markersize": 4 if is_sparse else 2.5, "alpha": 0.7, "markeredgewidth": 0}
        axes.plot(line.series.steps, line.series.values, **style)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.ticklabel_format(axis="y", scilimits=(-3, 4), useOffset=False)
    axes.margins(y=0.08)


def colour_of(number: int | None) -> str:
    """Return the stand-in of a series' colour on the page; ``None``: of text."""
    return _INK if number is None else f"#0500{number % SERIES:02x}"


def figure_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as inline SVG in the page's colours.

    Args:
        figure: The figure, drawn within the style `RC`.
        name: Its name, unique on its page.
        label: What it shows, for those who do not see it.
    """
    stream = io.StringIO()
    with warnings.catch_warnings():
        # The page's reader has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(stream.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}style" or child.tag == f"{{{_SVG}}}metadata":
                parent.remove(child)  # a style in a page would be the whole page's
    used = {reference for node in root.iter() for reference in _references(node)}
    for node in root.iter():
        _adapt(node, used, name)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": label}
    root.attrib["style"] = f"max-width: {figure.get_figwidth() * 72 * 1.4:.0f}px"
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return ElementTree.tostring(root, encoding="unicode")


def _references(node: ElementTree.Element) -> list[str]:
    return [
        *re.findall(r"^#(.+)", node.get(f"{{{_LINK}}}href", "")),
        *re.findall(r"url\(#(.+?)\)", node.get("clip-path", "")),
    ]


def _adapt(node: ElementTree.Element, used: set[str], name: str) -> None:
    """Give an element the page's colours and font, and an id that no other figure of the page has."""
    if (key := node.attrib.pop("id", None)) in used:
        node.set("id", f"{name}-{key}")
    if reference := node.get(f"{{{_LINK}}}href"):
        node.set(f"{{{_LINK}}}href", f"#{name}-{reference[1:]}")
    if clip := node.get("clip-path"):
        node.set("clip-path", clip.replace("url(#", f"url(#{name}-"))
    if style := node.get("style"):
        style = re.sub(r"font-family: [^;]*;? ?", "", style)
        node.set("style", re.sub(r"#[0-9a-f]{6}", lambda match: _variable(match[0]), style))


def _variable(colour: str) -> str:
    return f"var({_VARIABLES[colour]})" if colour in _VARIABLES else colour
