"""Rows held out of the training rows, where a source has no split for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, Value
from sklearn.model_selection import train_test_split

from hf_mtl.data import sample_of_stream, stream_of, written_stream
from hf_mtl.recipe._mistakes import RecipeError, blamed_on

__all__ = ["hold_out", "hold_out_first", "without_columns"]

logger = logging.getLogger(__name__)


def hold_out(
    data: Dataset, size: float, seed: int, tasks: Sequence[str], *, name: str, use: str
) -> tuple[Dataset, Dataset]:
    """Split training rows in two; both keep their order.

    The split is stratified by the first task with one label a row whose every label occurs at least twice, if the
    parts have room for all its labels.

    Args:
        data: The training rows.
        size: The part to hold out: a fraction, or rows from 1.
        seed: The same seed holds out the same rows.
        tasks: Names of the tasks that may stratify.
        name: Name of the dataset.
        use: ``"validation"`` or ``"test"``.

    Returns:
        What is left to train on, and what is held out.

    Raises:
        RecipeError: If one of them would be empty.
    """
    rows = len(data)
    held = int(size) if size >= 1 else max(1, round(size * rows))
    if held >= rows:
        raise RecipeError(
            f"datasets.{name}.{use}_size",
            f"{held} rows cannot be held out of {rows}. Add a {use} split, lower {use}_size, or set it to 0.",
        )
    chosen, strata = None, None
    for task in tasks:
        values = _strata(data, task)
        if values is not None and len(set(values)) <= min(held, rows - held) and min(Counter(values).values()) >= 2:
            chosen, strata = task, values
            break
    kept, out = train_test_split(range(rows), test_size=held, random_state=seed, stratify=strata)
    how = f"stratified by {chosen!r}, " if chosen else ""
    logger.info(
        "Dataset %r has no %s split: %d of its %d training rows are held out (%sseed %d).",
        *(name, use, held, rows, how, seed),
    )
    return data.select(sorted(kept)), data.select(sorted(out))


def hold_out_first(data: Dataset, rows: int, *, name: str, use: str) -> tuple[Dataset, Dataset]:
    """Hold the first rows of a stream out: what follows them is not known before it is read.

    Args:
        data: The stream's first rows, which know it.
        rows: How many to hold out.
        name: Name of the dataset.
        use: ``"validation"`` or ``"test"``.

    Returns:
        The first rows of what is left to train on, which know that stream; and what is held out.

    Raises:
        RecipeError: If the stream has no more rows than that.
    """
    stream = stream_of(data)
    assert stream is not None
    logger.info("Dataset %r has no %s split: the first %d rows of its stream are held out.", name, use, rows)
    with blamed_on(f"datasets.{name}.{use}_size"):
        return sample_of_stream(name, stream.skip(rows)), written_stream(name, stream.take(rows))


def without_columns(name: str, data: Dataset, columns: Sequence[str]) -> Dataset:
    """Return rows without some columns; those of a stream's beginning know the stream without them.

    Args:
        name: Name of the dataset.
        data: The rows.
        columns: The columns, which exist.
    """
    stream = stream_of(data)
    if stream is None:
        return data.remove_columns(list(columns))
    return sample_of_stream(name, stream.remove_columns(list(columns)))


def _strata(data: Dataset, task: str) -> list[Any] | None:
    feature = data.features[task]
    is_text = isinstance(feature, Value) and feature.dtype in ("string", "large_string", "string_view")
    if not (is_text or isinstance(feature, ClassLabel)):
        return None
    return [str(value) for value in data.with_format(None)[task]]
