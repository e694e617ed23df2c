"""The forms in which users hold their data, brought to one: a `datasets.Dataset` for each name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_mtl._names import listed
from hf_mtl.data.streams import sample_of_stream, written_stream
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["MOST_COLUMNS", "SPLIT_NAMES", "as_datasets"]

#: Columns of a file or a frame: readers take minutes and gigabytes for 100,000.
MOST_COLUMNS = 10_000
#: For each use of a dataset the names that its split may have, best first.
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "dev", "val", "valid"), "test": ("test",)}


def as_datasets(data: Any, split: str) -> dict[str, Dataset]:
    """Return the data as one `datasets.Dataset` for each name.

    Args:
        data: A `Dataset`, a `DatasetDict` (its ``split`` is taken), a `pandas.DataFrame`, or a mapping from dataset
            names to any of them; ``None`` gives nothing. A single dataset is named ``"data"``. Of an
            `IterableDataset` the first rows are returned for training, with the stream they are of; for other splits
            all, written to the disk.
        split: ``"train"``, ``"validation"`` or ``"test"``: the split taken of a `DatasetDict`.

    Raises:
        TypeError: If the data has none of these forms.
        ValueError: If a `DatasetDict` has no such split, or a dataset has no rows.

    >>> as_datasets(pd.DataFrame({"text": ["good"]}), "train")["data"].num_rows
    1
    """
    if data is None:
        return {}
    if isinstance(data, Mapping) and not isinstance(data, (DatasetDict, IterableDatasetDict)):
        named = {name: _one(name, value, split) for name, value in data.items()}
    else:
        named = {"data": _one("data", data, split)}
    for name, dataset in named.items():
        if len(dataset) == 0:
            raise UserError(f"Dataset {name!r}: the {split} data has no rows. Leave the dataset out, or fill it.")
    return named


def _one(name: str, data: Any, split: str) -> Dataset:
    if isinstance(data, (DatasetDict, IterableDatasetDict)):
        for candidate in SPLIT_NAMES[split]:
            if candidate in data:
                return _one(name, data[candidate], split)
        raise UserError(
            f"Dataset {name!r}: no split {split!r} among {listed(data)}. Pass the split you mean, "
            f"such as data[{next(iter(data), split)!r}]."
        )
    if isinstance(data, pd.DataFrame):
        if len(data.columns) > MOST_COLUMNS:
            raise UserError(
                f"Dataset {name!r}: {len(data.columns):,} columns, and at most {MOST_COLUMNS:,} are read. Pass those "
                "you need: data[['text', ...]]."
            )
        try:
            return Dataset.from_pandas(data, preserve_index=False)
        except pa.ArrowException as error:
            # Arrow's message ends with "Conversion failed for column x with type object".
            found = re.search(r"column (.+) with type", " ".join(map(str, error.args)))
            column = found[1] if found else "x"
            kinds = sorted({type(value).__name__ for value in data[column]}) if column in data else []
            raise UserError(
                f"Dataset {name!r}: column {column!r} mixes types: {listed(kinds)}. Make them one, such as "
                f"data[{column!r}] = data[{column!r}].astype(str)."
            ) from error
    if isinstance(data, Dataset):
        return data
    if isinstance(data, IterableDataset):
        return sample_of_stream(name, data) if split == "train" else written_stream(name, data)
    raise UserTypeError(
        f"Dataset {name!r}: expected a datasets.Dataset, DatasetDict or pandas.DataFrame, found "
        f"{type(data).__name__}. Build one with datasets.Dataset.from_dict or from_list."
    )
