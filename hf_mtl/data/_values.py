"""How often each value of a column occurs, counted by Arrow: no row becomes a Python object."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

__all__ = ["Values", "count_values"]

#: Rows that are read at a time.
_BLOCK = 10_000
#: Values that are counted apart: a column of more is no column of labels.
MOST_VALUES = 100_000


@dataclass
class Values:
    """The values of a column, or of its lists.

    Args:
        counts: How often each occurs, null left out.
        rows: The rows that were read.
        nulls: The rows whose cell is null.
        is_whole: Whether all rows were read; not where there are too many values.
    """

    counts: Counter[Any] = field(default_factory=Counter)
    rows: int = 0
    nulls: int = 0
    is_whole: bool = True

    def __len__(self) -> int:
        return len(self.counts)


def count_values(data: Dataset, name: str, most: int = MOST_VALUES) -> Values:
    """Count a column's values.

    Args:
        data: The rows.
        name: The column: of texts, numbers or truth values, or of lists of them, also within lists.
        most: The values after which counting stops.
    """
    found = Values()
    for batch in data.select_columns([name]).with_format("arrow").iter(batch_size=_BLOCK):
        column = batch[name].combine_chunks()
        found.rows += len(column)
        found.nulls += column.null_count
        while pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = column.flatten()
        for item in pc.value_counts(column).to_pylist():
            if item["values"] is not None:
                found.counts[item["values"]] += item["counts"]
        if len(found.counts) > most:
            found.is_whole = False
            break
    return found
