"""The page of a model's errors, task by task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from hf_mtl.report._frame import framed
from hf_mtl.report._tables import table_of, table_row
from hf_mtl.report._text import printable
from hf_mtl_light.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["ErrorsOfTask", "render_errors"]

#: Labels of a confusion matrix that is drawn; of more the pairs that are confused most are listed.
_MOST_LABELS = 30
#: Characters of a text, and of an answer.
_TEXT, _ANSWER = 400, 200
_MOST_PAIRS = 20


class ErrorsOfTask(Protocol):
    """What the page reads of a task: see `hf_mtl.validation.TaskErrors`."""

    @property
    def task(self) -> Any: ...
    @property
    def kind(self) -> str: ...
    @property
    def is_judged(self) -> bool: ...
    @property
    def rows(self) -> pd.DataFrame: ...
    @property
    def wrong(self) -> pd.DataFrame: ...
    @property
    def labels(self) -> pd.DataFrame: ...
    @property
    def confusion(self) -> pd.DataFrame: ...
    @property
    def entities(self) -> pd.DataFrame: ...
    @property
    def bins(self) -> np.ndarray | None: ...


def render_errors(title: str, tasks: Mapping[str, ErrorsOfTask], facts: Mapping[str, str], most: int = 20) -> str:
    """Return a page of HTML that needs nothing beside it: no network, no script.

    Args:
        title: Its title.
        tasks: What is wrong of each task.
        facts: What to say at its head.
        most: The most rows, and entities of a type, that are shown of each task.

    Raises:
        ImportError: If matplotlib is missing; the message names the command that installs it.
    """
    try:
        import hf_mtl.report._error_figures  # noqa: F401  # needs matplotlib
    except ImportError as error:
        raise MissingExtraError(f"A page of errors needs {error.name}: pip install 'hf-mtl[report]'") from error
    sections = {"tasks": _overview(tasks)}
    for number, (name, found) in enumerate(tasks.items()):
        figures = (_labels(found), _confusion(found, number), _reliability(found, number))
        sections[f"task-{number}"] = (
            f"<h2>{escape(printable(name))}</h2>{''.join(figures)}{_entities(found, most)}{_wrong(found, most)}"
        )
    return framed(title, facts, sections)


def _overview(tasks: Mapping[str, ErrorsOfTask]) -> str:
    rows = []
    for name, found in tasks.items():
        wrong = f"{len(found.wrong):,}" if found.is_judged else "-"
        share = f"{len(found.wrong) / max(len(found.rows), 1):.1%}" if found.is_judged else "-"
        rows.append(table_row([name, found.task.type], [f"{len(found.rows):,}", wrong, share]))
    return f"<h2>Tasks</h2>{table_of(['task', 'type'], ['rows', 'wrong', 'share'], rows)}"


def _labels(found: ErrorsOfTask) -> str:
    if found.labels.empty:
        return ""
    rows = [
        table_row(
            [str(label)],
            [*(f"{line[key]:.3f}" for key in ("precision", "recall", "f1")), *(f"{line[key]:,.0f}" for key in _COUNTS)],
        )
        for label, line in found.labels.iterrows()
    ]
    return f"<h3>Labels</h3>{table_of(['label'], ['precision', 'recall', 'F1', 'true', 'predicted'], rows)}"


_COUNTS = ("support", "predicted")


def _confusion(found: ErrorsOfTask, number: int) -> str:
    from hf_mtl.report._error_figures import draw_confusion

    table = found.confusion
    if table.empty:
        return ""
    words = " Words are counted." if found.kind == "tags" else ""
    if len(table) <= _MOST_LABELS:
        drawn = draw_confusion(list(map(str, table.index)), table.to_numpy(), f"confusion-{number}")
        return f"<h3>What is taken for what</h3><p>Rows: true. Columns: predicted.{words}</p>{drawn}"
    pairs = [
        (int(table.iloc[i, j]), str(table.index[i]), str(table.columns[j]))
        for i in range(len(table))
        for j in range(len(table))
        if i != j and table.iloc[i, j]
    ]
    rows = [
        table_row([true, predicted], [f"{count:,}"])
        for count, true, predicted in sorted(pairs, key=lambda p: -p[0])[:_MOST_PAIRS]
    ]
    return f"<h3>What is taken for what most</h3>{table_of(['true', 'predicted'], ['times'], rows)}" if rows else ""


def _reliability(found: ErrorsOfTask, number: int) -> str:
    from hf_mtl.report._error_figures import draw_reliability

    if found.bins is None:
        return ""
    counts, scores, right = found.bins.T
    error = abs(scores - right).sum() / counts.sum()
    text = (
        f"Line: of answers with a score, the share that is right; dashed where both are equal. Bars: how many there "
        f"are. Expected calibration error {error:.3f}."
    )
    return f"<h3>Scores</h3><p>{text}</p>{draw_reliability(found.bins, f'reliability-{number}')}"


def _entities(found: ErrorsOfTask, most: int) -> str:
    if found.entities.empty:
        return ""
    rows = []
    for (type_, error), lines in found.entities.groupby(["type", "error"], sort=True):
        first = [str(type_), f"{error} ({len(lines):,})"]
        for line in lines.head(most).itertuples():
            rows.append(table_row([*first, str(line.entity), printable(str(line.text), _TEXT)], [_place(line)]))
            first = ["", ""]
    return f"<h3>Entities missed and made up</h3>{table_of(['type', '', 'entity', 'text'], ['row'], rows)}"


def _wrong(found: ErrorsOfTask, most: int) -> str:
    if found.wrong.empty:
        return "<p>Every row is right.</p>"
    rows = [
        table_row(
            [_text(line), _answer(line.reference), _answer(line.prediction)],
            ["-" if math.isnan(line.loss) else f"{line.loss:.2f}", _place(line)],
        )
        for line in found.wrong.head(most).itertuples()
    ]
    shown = f"{len(rows):,} of {len(found.wrong):,}"
    table = table_of(["text", "true", "predicted"], ["loss", "row"], rows)
    return f"<h3>Rows with the highest loss</h3><p>{shown}.</p>{table}"


def _text(line: Any) -> str:
    text = " ".join(map(str, line.text)) if isinstance(line.text, list) else str(line.text)
    pair = "" if line.text_pair is None else f" / {line.text_pair}"
    return printable(text + pair, _TEXT)


def _answer(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return printable(" ".join("-" if item is None else _answer(item) for item in value) or "none", _ANSWER)
    return printable(str(value), _ANSWER)


def _place(line: Any) -> str:
    return escape(printable(f"{line.dataset} {line.row}", 60))
