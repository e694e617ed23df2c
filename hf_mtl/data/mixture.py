"""Several datasets under one numbering, as torch's `DataLoader` reads them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from hf_mtl.data.batch_sampler import TaskBatchSampler
from hf_mtl.data.columns import Row, TaskColumns

__all__ = ["TaskMixture"]


class TaskMixture(Dataset[Row]):
    """Rows of several datasets, numbered one dataset after the other.

    A negative number -n - 1 means row n without its labels: a filler, for a rank that has no row of a last, short
    batch.

    Args:
        parts: The datasets.
        batch_sampler: The sampler whose epoch follows this dataset's: `accelerate` tells an epoch's number to the
            dataset, whatever it has wrapped the sampler in.
    """

    def __init__(self, parts: Sequence[TaskColumns], batch_sampler: TaskBatchSampler | None = None) -> None:
        self.parts = list(parts)
        self._batch_sampler = batch_sampler
        self._starts = [0, *accumulate(len(part) for part in self.parts)]

    def __len__(self) -> int:
        return self._starts[-1]

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch's number, from 0, to the batch sampler."""
        if self._batch_sampler is not None:
            self._batch_sampler.set_epoch(epoch)

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        # One read a dataset, not one a row: reading from Arrow costs by the call.
        result: list[Any] = [None] * len(indices)
        mine: dict[int, list[tuple[int, int]]] = {}
        for i, index in enumerate(indices):
            number = index if index >= 0 else -index - 1
            part = bisect_right(self._starts, number) - 1
            mine.setdefault(part, []).append((i, number - self._starts[part]))
        for part, asked in mine.items():
            for (i, _), row in zip(asked, self.parts[part].read([number for _, number in asked]), strict=True):
                result[i] = row if indices[i] >= 0 else Row(row.dataset, row.index, row.text, row.text_pair)
        return result
