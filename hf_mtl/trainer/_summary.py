"""What will be trained, as a table that stands above the progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

__all__ = ["SummaryCallback", "summary_table"]


class SummaryCallback(TrainerCallback):
    """Prints the trainer's summary before training: dataset, rows, share of an epoch, task, type, labels.

    It keeps silent where the progress bar does (``disable_tqdm=True``); ``trainer.remove_callback(SummaryCallback)``
    takes it away.

    Args:
        summary: Returns what `summary_table` shows, when training begins.
    """

    def __init__(self, summary: Callable[[], list[dict[str, Any]]]) -> None:
        self._summary = summary

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print the table, on the first process alone."""
        if state.is_world_process_zero and not args.disable_tqdm:
            Console(stderr=True).print(summary_table(self._summary()))


def summary_table(summary: list[dict[str, Any]]) -> Table:
    """Return a line for each dataset and task.

    Args:
        summary: What `MultiTaskTrainer.summary` returned.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("dataset", "rows", "share", "task", "type", "labels"):
        table.add_column(column, justify="right" if column in ("rows", "share") else "left")
    for item in summary:
        first = [item["dataset"], f"{item['rows']:,}", f"{item['share']:.1%}"]
        for task in item["tasks"]:
            labels = task["labels"] or ()
            shown = f"{len(labels)}: {', '.join(labels[:3])}{', ...' if len(labels) > 3 else ''}" if labels else "-"
            # Text, not strings: labels may hold brackets, which rich would take for markup.
            table.add_row(*map(Text, [*first, task["name"], task["type"], shown]))
            first = ["", "", ""]
    return table
