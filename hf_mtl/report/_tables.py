"""The tables of a report: how well each task is answered, and what each dataset gave to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from hf_mtl.report._history import Run
from hf_mtl.report._text import printable

__all__ = ["dataset_table", "result_table", "sharing_table", "table_of", "table_row"]


def result_table(run: Run) -> str:
    """Return the metrics after training, each task's main one first; empty where there are none.

    Args:
        run: The run.
    """
    if not run.results:
        return ""
    splits = list(run.results)
    rows = []
    for name, task in run.tasks.items():
        main = run.main_metrics.get(name)
        computed = dict.fromkeys(key for split in splits for key in run.results[split].get(name, {}))
        first = [name, "" if task is None else task.type]
        for metric in sorted(computed, key=lambda key: key != main):
            numbers = [_number(run.results[split].get(name, {}).get(metric)) for split in splits]
            rows.append(table_row([*first, metric], numbers, "main" if metric == main else ""))
            first = ["", ""]
    if run.scores:
        numbers = [_number(run.scores.get(split)) for split in splits]
        rows.append(table_row(["score", "", "mean of the main metrics"], numbers, "main"))
    return f"<h2>Results</h2>{table_of(['task', 'type', 'metric'], splits, rows)}"


def dataset_table(run: Run) -> str:
    """Return for each dataset its rows drawn and its shares; empty where nothing was drawn.

    Args:
        run: The run.
    """
    drawn = {name: math.fsum(run.series(f"rows/{name}").finite) for name in run.datasets}
    total = math.fsum(drawn.values())
    rows = []
    for name in run.datasets:
        decided = run.series(f"share/{name}").finite
        share = f"{drawn[name] / total:.1%}" if total else "-"
        ends = [f"{value:.1%}" for value in (decided[:1] + decided[-1:])] or ["-", "-"]
        cells = [name, ", ".join(run.dataset_tasks.get(name, ())) or "-"]
        rows.append(table_row(cells, [f"{drawn[name]:,.0f}", share, *ends]))
    if not rows:
        return ""
    numbers = ["rows drawn", "share of rows", "first share decided", "last"]
    return f"<h2>Datasets</h2>{table_of(['dataset', 'tasks'], numbers, rows)}"


def sharing_table(run: Run) -> str:
    """Return what sharing did to each task; empty where the run was not compared.

    Args:
        run: The run.
    """
    rows = []
    for found in run.sharing:
        numbers = {key: value if isinstance(value, (int, float)) else None for key, value in found.items()}
        low, high = numbers.get("low"), numbers.get("high")
        interval = "-" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
        cells = [_number(numbers.get("alone")), _number(numbers.get("together")), _signed(numbers.get("difference"))]
        verdict = str(found.get("verdict", ""))
        words = [str(found.get(key, "")) for key in ("task", "metric")]
        rows.append(table_row([*words, verdict], [*cells, interval], "main" if verdict == "hurt" else ""))
    if not rows:
        return ""
    text = "Each task alone, with the same encoder, rows, arguments and seeds, and together with the others."
    table = table_of(["task", "metric", "verdict"], ["alone", "together", "difference", "95 % interval"], rows)
    return f"<h2>What sharing did</h2><p>{text}</p>{table}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def table_of(words: Sequence[str], numbers: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table of rows as `table_row` makes them, under the names of its columns."""
    heads = [f"<th>{word}</th>" for word in words] + [f'<th class="number">{word}</th>' for word in numbers]
    return (
        f'<div class="wide"><table><thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def table_row(words: Sequence[str], numbers: Sequence[str], kind: str = "") -> str:
    """Return a row: words of strangers, shown as they are, and formatted numbers."""
    cells = [f"<td>{escape(printable(word))}</td>" for word in words]
    cells += [f'<td class="number">{number}</td>' for number in numbers]
    kinds = " ".join(filter(None, ("first" if words[0] else "", kind)))
    return f'<tr class="{kinds}">{"".join(cells)}</tr>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
