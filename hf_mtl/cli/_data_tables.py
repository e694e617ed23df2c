"""The two tables of ``hf-mtl data``: what the rows of each split are like, and which labels they have."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import MOST, DataLook

__all__ = ["label_table", "split_table"]

#: Labels of a task that are shown.
_MOST_LABELS = 12


def _share(value: float, bound: str | None = None) -> Text:
    shown = "-" if not value else f"{value:.1%}" if value >= 0.001 else "<0.1%"
    return Text(shown, style="bold yellow" if bound is not None and value > MOST[bound] else "")


def split_table(looks: Sequence[DataLook]) -> Table:
    """Return a line for each dataset and split: rows, lengths, unknown tokens, truncated and repeated rows.

    Args:
        looks: What `hf_mtl.data.look_at` returned.
    """
    sampled = any(split.sampled < split.rows for look in looks for split in look.splits.values())
    most = max((split.sampled for look in looks for split in look.splits.values()), default=0)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    if sampled:
        table.caption = (
            f"Tokens are those of at most {most:,} rows of each split, evenly spread over it; the rest is of all rows."
        )
        table.caption_justify = "left"
    table.add_column("dataset")
    table.add_column("split")
    for name in ("rows", "tokens 50%", "95%", "most", "truncated", "unknown", "repeated", "in train", "two labels"):
        table.add_column(name, justify="right", no_wrap=True)
    for look in looks:
        name = look.name
        for use, split in look.splits.items():
            rows = max(split.rows, 1)
            table.add_row(
                Text(name),
                use,
                f"{split.rows:,}",
                *(f"{split.length(quantile):,}" for quantile in (0.5, 0.95, 1.0)),
                _share(split.truncated, "truncated"),
                _share(split.unknown, "unknown"),
                _share(split.duplicates / rows, "duplicates"),
                _share(split.in_train / rows, "in_train"),
                _share(max(split.contradicting.values(), default=0) / rows, "contradicting"),
            )
            name = ""
    return table


def label_table(looks: Sequence[DataLook], tasks: Sequence[TaskConfig]) -> Table:
    """Return a line for each task and label: how many rows of each split have it, the most frequent first.

    Args:
        looks: What `hf_mtl.data.look_at` returned.
        tasks: The tasks.
    """
    uses = list(dict.fromkeys(use for look in looks for use in look.splits))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("dataset", "task", "label"):
        table.add_column(name)
    for use in uses:
        table.add_column(use, justify="right", no_wrap=True)
    for look in looks:
        dataset = look.name
        for task in tasks:
            counts = {use: split.labels.get(task.name) for use, split in look.splits.items()}
            train = counts.get("train")
            if train is None:
                continue
            name = task.name
            total = {use: sum(found.labels.values()) if found else 0 for use, found in counts.items()}
            labels = sorted(task.labels or (), key=lambda label: -train.labels[label]) if any(total.values()) else []
            lines = [(label, {use: f.labels[label] if f else 0 for use, f in counts.items()}) for label in labels]
            shown = lines if len(lines) <= _MOST_LABELS + 1 else lines[:_MOST_LABELS]
            if len(shown) < len(lines):
                rest = {use: sum(found[use] for _, found in lines[len(shown) :]) for use in counts}
                shown.append((f"({len(lines) - len(shown)} others)", rest))
            if any(found and found.unlabelled for found in counts.values()):
                shown.append(("(no label)", {use: found.unlabelled if found else 0 for use, found in counts.items()}))
            for label, found in shown:
                cells = [_count(found.get(use), total.get(use, 0)) for use in uses]
                table.add_row(Text(dataset), Text(name), Text(label), *cells)
                dataset = name = ""
    return table


def _count(count: int | None, total: int) -> Text:
    if not count:
        return Text("-", style="bold yellow" if total else "")
    return Text(f"{count:,}")
