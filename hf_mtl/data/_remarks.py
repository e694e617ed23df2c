"""What of a look at the data is worth a warning, and above which bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.data.look import DataLook, SplitLook

__all__ = ["MOST", "remarks_on", "remarks_on_texts"]

#: Shares above which something is remarked on: of tokens, of the rows looked at, of all rows.
MOST = {
    "unknown": 0.05,
    "truncated": 0.1,
    "duplicates": 0.05,
    "in_train": 0.01,
    "contradicting": 0.01,
    "unlabelled": 0.5,
}
#: Training rows of a label below which it is called rare.
_RARE = 5


def remarks_on(look: DataLook, tasks: Sequence[TaskConfig]) -> list[str]:
    """Return a sentence for each thing above its bound in `MOST`, and for labels that a split lacks."""
    named = {task.name: task for task in tasks}
    found: list[str] = []
    for use, split in look.splits.items():
        found += remarks_on_texts(f"{look.name} ({use})", split) if use == "train" or not found else []
        found += _of_rows(look.name, use, split)
    return [*found, *_of_labels(look, named)]


def remarks_on_texts(name: str, split: SplitLook) -> Iterator[str]:
    """Yield a sentence if too many tokens are unknown, or too many rows too long."""
    where = f"Dataset {name!r}"
    sample = f" of {split.sampled:,} rows looked at" if split.sampled < split.rows else ""
    if split.unknown > MOST["unknown"]:
        yield (
            f"{where}: the tokenizer does not know {split.unknown:.0%} of the tokens{sample}. Choose an encoder of the "
            "texts' language."
        )
    if split.truncated > MOST["truncated"]:
        yield (
            f"{where}: {split.truncated:.0%}{sample or ' of the rows'} have more tokens than a row may, and the rest "
            "is cut. Raise max_length where the encoder allows it, or cut the texts into rows."
        )


def _of_rows(name: str, use: str, split: SplitLook) -> Iterator[str]:
    where, rows = f"Dataset {f'{name} ({use})'!r}", f"{split.rows:,} rows"
    if split.duplicates > MOST["duplicates"] * split.rows:
        yield f"{where}: {split.duplicates:,} of {rows} have the input of an earlier row."
    if split.in_train > MOST["in_train"] * split.rows:
        yield f"{where}: {split.in_train:,} of {rows} have the input of a training row, so scores flatter."
    for task, count in split.contradicting.items():
        if count > MOST["contradicting"] * split.rows:
            yield f"{where}, task {task!r}: {count:,} of {rows} have the input of another row and another label."
    for task, counts in split.labels.items():
        if counts.unlabelled > MOST["unlabelled"] * counts.rows:
            yield f"{where}, task {task!r}: {counts.unlabelled:,} of {rows} have no label."


def _of_labels(look: DataLook, tasks: Mapping[str, TaskConfig]) -> Iterator[str]:
    train = look.splits.get("train")
    for name, counts in train.labels.items() if train is not None else ():
        labels = tasks[name].labels or ()
        by_use = {use: split.labels[name].labels for use, split in look.splits.items() if name in split.labels}
        # What no split has, the check of the rows has said.
        known = {label for found in by_use.values() for label in found}
        for use, found in by_use.items():
            lacking = [label for label in labels if label in known and not found[label]]
            if found and lacking:
                yield (
                    f"Dataset {f'{look.name} ({use})'!r}, task {name!r}: {len(lacking)} of {len(labels)} labels have "
                    f"no row, {listed(lacking, 5)}."
                )
        if rare := [label for label, count in counts.labels.items() if 0 < count < _RARE]:
            yield (
                f"Dataset {f'{look.name} (train)'!r}, task {name!r}: {len(rare)} labels have fewer than {_RARE} rows, "
                f"{listed(rare, 5)}."
            )
