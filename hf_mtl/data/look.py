"""A look at the data before it costs: what a person would want to know of rows before a model learns from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_mtl.data.checks import LabelCounts
from hf_mtl.data.columns import LabelledDataset

__all__ = ["SAMPLED_ROWS", "DataLook", "SplitLook", "look_at", "look_at_texts"]

#: Rows of a split whose texts are tokenised: evenly spread over it.
SAMPLED_ROWS = 1_000
#: Characters of a text that are tokenised.
_CUT = 20_000
_BLOCK = 10_000


@dataclass
class SplitLook:
    """What one split of a dataset is like.

    Args:
        rows: Its rows.
        sampled: Those that were tokenised.
        lengths: Their lengths in tokens, special tokens among them.
        unknown: The share of their tokens that the tokenizer does not know.
        truncated: The share of them that have more tokens than a row may.
        duplicates: Rows whose input an earlier row of the split has, too.
        in_train: Rows of another split whose input a training row has, too.
        contradicting: By task, rows with the input of another row of the split and another label.
        labels: By task, how many rows have which label.
    """

    rows: int
    sampled: int = 0
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unknown: float = 0.0
    truncated: float = 0.0
    duplicates: int = 0
    in_train: int = 0
    contradicting: dict[str, int] = field(default_factory=dict)
    labels: dict[str, LabelCounts] = field(default_factory=dict)

    def length(self, quantile: float) -> int:
        """Return the length in tokens that this share of the sampled rows does not exceed."""
        return int(np.quantile(self.lengths, quantile, method="higher")) if len(self.lengths) else 0


@dataclass
class DataLook:
    """What a dataset is like.

    Args:
        name: Its name.
        splits: By use, such as ``"train"``.
    """

    name: str
    splits: dict[str, SplitLook]


def look_at(
    name: str,
    splits: Mapping[str, LabelledDataset],
    counts: Mapping[str, Mapping[str, LabelCounts]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> DataLook:
    """Look at a dataset.

    Texts of all rows are compared by a hash of 64 bits, those of `SAMPLED_ROWS` of each split are tokenised.

    Args:
        name: Its name.
        splits: Its rows by use.
        counts: By use, what they say of each task.
        tokenizer: The encoder's tokenizer.
        max_length: The most tokens of a row.
    """
    found = DataLook(name, {})
    seen: np.ndarray | None = None
    for use, dataset in splits.items():
        look = look_at_texts(dataset, tokenizer, max_length)
        look.labels = dict(counts[use])
        hashes = _hashes(dataset)
        look.duplicates = int(pd.Series(hashes).duplicated().sum())
        if look.duplicates:
            look.contradicting = _contradicting(dataset, hashes)
        if seen is None and use == "train":
            seen = hashes
        elif seen is not None:
            look.in_train = int(np.isin(hashes, seen).sum())
        found.splits[use] = look
    return found


def _inputs(dataset: LabelledDataset, data: Dataset) -> list[list[Any]]:
    """Return the columns that are read, as texts or lists of texts; of masked texts the task's."""
    names = dataset.inputs or [name for name in dataset.tasks if dataset.heads[name].level == "mask"]
    return [data[name][:] for name in names]


def _hashes(dataset: LabelledDataset) -> np.ndarray:
    """Return a number for each row's input, [rows] uint64: equal for equal inputs."""
    blocks = []
    for start in range(0, len(dataset), _BLOCK):
        columns = _inputs(dataset, dataset.data.select(range(start, min(start + _BLOCK, len(dataset)))))
        texts = ["\x1e".join(map(_text, cells)) for cells in zip(*columns, strict=True)]
        blocks.append(pd.util.hash_array(np.array(texts, dtype=object), categorize=False))
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.uint64)


def _text(cell: Any) -> str:
    return "\x1f".join(map(str, cell)) if isinstance(cell, list) else str(cell)


def _contradicting(dataset: LabelledDataset, hashes: np.ndarray) -> dict[str, int]:
    """Return for each task the rows whose input has another label elsewhere."""
    again = np.flatnonzero(pd.Series(hashes).duplicated(keep=False))
    rows = dataset.read(again.tolist())
    found = {}
    for task in dataset.tasks:
        if dataset.heads[task].level == "mask" or dataset.heads[task].is_regression:
            continue
        labels = [
            (int(hashes[i]), str(row.labels[task])) for i, row in zip(again, rows, strict=True) if task in row.labels
        ]
        different = Counter(text for text, _ in set(labels))
        found[task] = sum(different[text] > 1 for text, _ in labels)
    return {task: count for task, count in found.items() if count}


def look_at_texts(
    dataset: LabelledDataset, tokenizer: PreTrainedTokenizerBase, max_length: int, rows: int = SAMPLED_ROWS
) -> SplitLook:
    """Look at the tokens of a split.

    Args:
        dataset: Its rows.
        tokenizer: The encoder's tokenizer.
        max_length: The most tokens of a row.
        rows: The most rows that are tokenised, evenly spread over the split.
    """
    look = SplitLook(len(dataset), min(len(dataset), rows))
    if not look.sampled:
        return look
    data = dataset.data
    if look.sampled < len(data):
        data = data.select(np.linspace(0, len(data) - 1, look.sampled, dtype=np.int64))
    columns = _inputs(dataset, data)
    # Words are joined: what they are made of is looked at, not which tag they have.
    first, *others = [[_cut(cell) for cell in column] for column in columns[:2]]
    pairs = others[0] if others and "text_pair" in dataset.inputs else None
    encoded = tokenizer(first, pairs, add_special_tokens=True, return_attention_mask=False, verbose=False)["input_ids"]
    look.lengths = np.array([len(ids) for ids in encoded])
    look.truncated = float((look.lengths > max_length).mean())
    tokens = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in encoded])
    unknown = tokenizer.unk_token_id
    counted = ~np.isin(tokens, [i for i in tokenizer.all_special_ids if i != unknown])
    if unknown is not None and counted.any():
        look.unknown = float((tokens[counted] == unknown).mean())
    return look


def _cut(cell: Any) -> str:
    text = " ".join(map(str, cell)) if isinstance(cell, list) else str(cell)
    return text[:_CUT]
