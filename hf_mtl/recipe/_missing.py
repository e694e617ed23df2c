"""What a CSV's cells leave out: an empty cell is missing, ``NA``, ``None`` and ``null`` are classes as any other.

Pandas, by which CSV is read, takes such words for missing wherever they are, and rows of the class ``None`` would lose
their label. In a column of numbers they are what people mean by them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Value

__all__ = ["as_written", "with_numbers"]

logger = logging.getLogger(__name__)

#: What pandas takes for missing, but the empty cell.
_WORDS = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
_SETTINGS = ("keep_default_na", "na_values", "na_filter")


def as_written(load: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments under which a CSV's words stay words; ``None`` for other formats or if it says itself."""
    if load["path"] != "csv" or any(name in load for name in _SETTINGS):
        return None
    return {**load, "keep_default_na": False, "na_values": [""]}


def with_numbers(where: str, data: Dataset, columns: Sequence[str]) -> Dataset:
    """Return rows of a CSV, columns of numbers among which words for "missing" are as numbers and nulls.

    Args:
        where: The dataset and the split, for messages.
        data: The rows, read `as_written`.
        columns: Columns that may hold numbers.
    """
    for name in columns:
        if getattr(data.features[name], "dtype", None) not in ("string", "large_string"):
            continue
        column = data.with_format("arrow")[name][:] if len(data) else None
        found = None if column is None else _numbers(pa.chunked_array(column) if isinstance(column, list) else column)
        if found is None:
            continue
        numbers, words = found
        logger.warning(
            "%s: the column %r holds numbers, so %s in %d of its rows is read as missing.",
            *(where, name, " or ".join(map(repr, words)), sum(words.values())),
        )
        features = data.features.copy()
        features[name] = Value("float64")
        data = Dataset(data.data.table.set_column(data.column_names.index(name), name, numbers))
        data = data.cast(features)
    return data


def _numbers(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, dict[str, int]] | None:
    """Return a column as numbers, and how often which words are missing; ``None`` if it is of texts."""
    is_word = pc.is_in(column, value_set=pa.array(_WORDS, column.type))
    if not pc.any(is_word).as_py():
        return None
    try:
        numbers = pc.if_else(is_word, pa.scalar(None, column.type), column).cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    if numbers.null_count == len(numbers):
        return None  # only words
    words = {item["values"]: item["counts"] for item in pc.value_counts(column.filter(is_word)).to_pylist()}
    return numbers, words
