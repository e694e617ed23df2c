"""The page: what is known of a run, section by section, and how to get what is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from hf_mtl.report._calibration import calibration_section
from hf_mtl.report._frame import framed
from hf_mtl.report._history import Run, Series
from hf_mtl.report._relations import relations_section
from hf_mtl.report._tables import dataset_table, result_table, sharing_table
from hf_mtl.report._text import printable
from hf_mtl_light.errors import MissingExtraError

if TYPE_CHECKING:
    from hf_mtl.report._figures import Line

__all__ = ["render_report"]

#: What a section that is left out needs.
_MISSING = {
    "results": "Results: give datasets a validation or test part, and train to the end or set eval_strategy.",
    "losses": "Losses: none was logged. Lower logging_steps below the number of steps.",
    "metrics": "Metrics over steps: set eval_strategy: epoch, or steps with eval_steps.",
    "shares": "Shares of the datasets: none was logged. Lower logging_steps below the number of steps.",
    "weights": "Weights of the tasks: none was logged. Lower logging_steps below the number of steps.",
    "cosines": "Cosines of the tasks' gradients: set gradient_cosine_steps: 50, say, with two tasks or more.",
}


def render_report(run: Run) -> str:
    """Return a run as a page of HTML that needs nothing beside it: no network, no script.

    Sections without data are left out; the end of the page says how to get them.

    Args:
        run: The run, as `read_run` read it.

    Raises:
        ImportError: If matplotlib is missing; the message names the command that installs it.
    """
    try:
        import hf_mtl.report._figures  # noqa: F401  # needs matplotlib
    except ImportError as error:
        raise MissingExtraError(f"A report needs {error.name}: pip install 'hf-mtl[report]'") from error
    sections = {
        "results": result_table(run) + dataset_table(run),
        "sharing": sharing_table(run),
        "relations": relations_section(run),
        "calibration": calibration_section(run),
        "losses": _losses(run),
        "metrics": _metrics(run),
        "shares": _shares(run),
        "weights": _weights(run),
        "cosines": _cosines(run),
        "rates": _rates(run),
    }
    left_out = [text for name, text in _MISSING.items() if not sections[name]] if run.log else []
    if left_out:
        lines = "".join(f"<li>{escape(text)}</li>" for text in left_out)
        sections["missing"] = f"<h2>Not in this run</h2><ul>{lines}</ul>"
    return framed(run.name, run.facts, sections)


def _losses(run: Run) -> str:
    series = _logged(run, "loss")
    return _section("Losses", "Mean loss an item of each task, in training.", "loss", "losses", _numbered(run, series))


def _metrics(run: Run) -> str:
    named = {
        f"{task} ({main})": (number, run.series(f"eval_{task}_{main}"))
        for number, task in enumerate(run.tasks)
        if (main := run.main_metrics.get(task))
    }
    from hf_mtl.report._figures import Line

    lines = {name: [Line(series, number)] for name, (number, series) in named.items() if series.steps}
    score = run.series("eval_score")
    if score.steps:
        lines["score (mean)"] = [Line(score)]
    return _section(
        "Metrics", "The main metric of each task on validation data, and their mean.", "metric", "metrics", lines
    )


def _shares(run: Run) -> str:
    from hf_mtl.report._figures import Line

    drawn = run.drawn_shares()
    lines = {}
    for number, name in enumerate(run.datasets):
        decided = run.series(f"share/{name}")
        of = [*([Line(decided, number)] if decided.steps else []), Line(drawn[name], number, has_line=False)]
        lines[name] = [line for line in of if line.series.steps]
    text = "Of the rows drawn, by dataset. Lines: the share decided by the sampler. Dots: drawn since the log before."
    return _section("Shares", text, "share of rows", "shares", {name: of for name, of in lines.items() if of})


def _weights(run: Run) -> str:
    series = _logged(run, "weight")
    return _section("Weights", "The factor that each task's loss had.", "weight", "weights", _numbered(run, series))


def _cosines(run: Run) -> str:
    from hf_mtl.report._figures import draw_matrix

    cosines = run.cosines()
    if not cosines:
        return ""
    names = [task for task in run.tasks if any(task in pair for pair in cosines)]
    latest = {pair: series.finite[-1] for pair, series in cosines.items()}
    mean = {pair: math.fsum(series.finite) / len(series.finite) for pair, series in cosines.items()}
    most = max(len(series.finite) for series in cosines.values())
    drawn = [
        _captioned(caption, draw_matrix(names, values, f"gradient cosines, {caption}", name))
        for caption, values, name in (
            ("latest", latest, "cosines-latest"),
            (f"mean of {most:,} log{'' if most == 1 else 's'}", mean, "cosines-mean"),
        )
    ]
    text = "Of the tasks' gradients of the encoder: -1 is open conflict, 0 none, 1 agreement."
    return f'<h2>Gradient cosines</h2><p>{text}</p><div class="pair">{"".join(drawn)}</div>'


def _captioned(caption: str, figure: str) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{figure}</figure>"


def _rates(run: Run) -> str:
    from hf_mtl.report._figures import Line, draw_panels

    named = {"learning rate": run.series("learning_rate"), "gradient norm": run.series("grad_norm")}
    panels = {name: [Line(series)] for name, series in named.items() if series.finite}
    if not panels:
        return ""
    drawn = draw_panels(panels, " and ".join(panels), "rates", columns=2)
    return f"<h2>Steps</h2>{_notes(named)}{drawn}"


def _logged(run: Run, kind: str) -> dict[str, Series]:
    found = {task: run.series(f"{kind}/{task}") for task in run.tasks}
    return {task: series for task, series in found.items() if series.steps}


def _numbered(run: Run, series: Mapping[str, Series]) -> dict[str, list[Line]]:
    """Return a line for each task, which has the same colour in every figure."""
    from hf_mtl.report._figures import Line

    numbers = {task: number for number, task in enumerate(run.tasks)}
    return {task: [Line(of, numbers[task])] for task, of in series.items()}


def _section(title: str, text: str, label: str, name: str, lines: Mapping[str, Sequence[Line]]) -> str:
    """Return a figure under its title: lines in one, or in a panel each where they are many; empty without points."""
    from hf_mtl.report._figures import SERIES, draw_lines, draw_panels

    if not lines:
        return ""
    notes = _notes({key: line.series for key, of in lines.items() for line in of})
    head = f"<h2>{title}</h2><p>{text}</p>{notes}"
    if sum(any(line.number is not None for line in of) for of in lines.values()) > SERIES:
        return head + draw_panels(lines, label, name)
    return head + _legend(lines) + draw_lines([line for of in lines.values() for line in of], label, name)


def _legend(lines: Mapping[str, Sequence[Line]]) -> str:
    items = []
    for name, of in lines.items():
        number = of[0].number
        colour = "--ink" if number is None else f"--series-{number % 8}"
        dash = ' stroke-dasharray="6 3"' if number is not None and number % 8 >= 4 else ""
        key = f'<svg viewBox="0 0 28 8" class="key"><path d="M0 4H28"{dash} style="stroke: var({colour})"/></svg>'
        items.append(f"<li>{key}{escape(printable(name))}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def _notes(named: Mapping[str, Series]) -> str:
    """Return what a figure cannot show: numbers that are not finite."""
    notes = []
    for name, series in named.items():
        steps = [step for step, value in zip(series.steps, series.values, strict=True) if not math.isfinite(value)]
        if steps:
            count = f"{len(steps):,} of {len(series.steps):,} values"
            notes.append(f"{printable(name)}: {count} not finite, the first at step {steps[0]:,}.")
    return f'<p class="note">{"<br>".join(map(escape, notes))}</p>' if notes else ""
