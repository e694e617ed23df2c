"""What will be trained, as a table that stands above the progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

if TYPE_CHECKING:
    from hf_mtl.trainer._trainer import MultiTaskTrainer

__all__ = ["SummaryCallback"]


class SummaryCallback(TrainerCallback):
    """Prints the trainer's summary before training: dataset, rows, share of an epoch, task, type, labels.

    It keeps silent where the progress bar does (``disable_tqdm=True``); ``trainer.remove_callback(SummaryCallback)``
    takes it away.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: MultiTaskTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print the table, on the first process alone."""
        if state.is_world_process_zero and not args.disable_tqdm:
            Console(stderr=True).print(summary_table(self._trainer.summary()))


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
