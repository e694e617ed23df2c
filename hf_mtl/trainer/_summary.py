"""What will be trained, as a table above the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from transformers import TrainerCallback

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelCounts, LabelledDataset

__all__ = ["SummaryCallback", "share_text", "summary_table", "training_summary"]


class SummaryCallback(TrainerCallback):
    """Prints the trainer's summary before training: dataset, rows, share of an epoch, task, type, labels.

    It keeps silent where the progress bar does (``disable_tqdm=True``); ``trainer.remove_callback(SummaryCallback)``
    takes it away.

    Args:
        summary: Returns what `summary_table` shows, when training begins.
        strategies: Returns how datasets are drawn, tasks balanced and so on, for the lines after the table.
    """

    def __init__(
        self, summary: Callable[[], list[dict[str, Any]]], strategies: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._summary, self._strategies = summary, strategies

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print the table, on the first process alone."""
        if state.is_world_process_zero and not args.disable_tqdm:
            console = Console(stderr=True)
            console.print(summary_table(self._summary()))
            for name, strategy in self._strategies().items():
                console.print(f"{name}: {strategy}", markup=False, highlight=False)


def training_summary(
    datasets: Mapping[str, LabelledDataset],
    tasks: Sequence[TaskConfig],
    shares: Iterable[tuple[float, float | None]],
    counts: Mapping[str, Mapping[str, LabelCounts]],
) -> list[dict[str, Any]]:
    """Return what `summary_table` shows.

    Args:
        datasets: The training datasets.
        tasks: The model's tasks.
        shares: For each dataset its share when training begins and when it ends.
        counts: What the rows of each dataset say of each task, where they were checked.
    """
    named = {task.name: task for task in tasks}
    return [
        {
            "dataset": name,
            "rows": len(dataset) if dataset.stream is None else None,
            "share": first,
            "last_share": last,
            "tasks": [
                {
                    "name": task,
                    "type": named[task].type,
                    "labels": named[task].labels,
                    "unlabelled": counts[name][task].unlabelled if name in counts else 0,
                }
                for task in dataset.tasks
            ],
        }
        for (name, dataset), (first, last) in zip(datasets.items(), shares, strict=True)
    ]


def summary_table(summary: list[dict[str, Any]]) -> Table:
    """Return a line for each dataset and task.

    Args:
        summary: What `MultiTaskTrainer.summary` returned.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    # Rows without a label are always shown where there are some.
    some = any(task.get("unlabelled") for item in summary for task in item["tasks"])
    for column in ("dataset", "rows", "share", "task", *["unlabelled"] * some, "type", "labels"):
        table.add_column(column, justify="right" if column in ("rows", "share", "unlabelled") else "left")
    for item in summary:
        rows = "stream" if item["rows"] is None else f"{item['rows']:,}"
        first = [item["dataset"], rows, share_text(item)]
        for task in item["tasks"]:
            labels = task["labels"] or ()
            shown = f"{len(labels)}: {', '.join(labels[:3])}{', ...' if len(labels) > 3 else ''}" if labels else "-"
            # Text, not strings: labels may hold brackets, which rich would take for markup.
            missing = [f"{task.get('unlabelled', 0):,}"] * some
            table.add_row(*map(Text, [*first, task["name"], *missing, task["type"], shown]))
            first = ["", "", ""]
    return table


def share_text(item: Mapping[str, Any]) -> str:
    """Return a dataset's share as a table shows it: one number, from and to, or the first of those that will be learnt.

    Args:
        item: An entry of a summary.

    >>> share_text({"share": 0.25, "last_share": 0.4}), share_text({"share": 0.25, "last_share": None})
    ('25.0% > 40.0%', '25.0% > ?')
    """
    first, last = item["share"], item["last_share"]
    if last is None:
        return f"{first:.1%} > ?"
    return f"{first:.1%}" if first == last else f"{first:.1%} > {last:.1%}"
