"""Several datasets under one numbering, as torch's `DataLoader` reads them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from datasets import Dataset as Table
from datasets import concatenate_datasets
from torch.utils.data import Dataset

from hf_mtl.data.batch_sampler import MixtureBatchSampler
from hf_mtl.data.columns import LabelledDataset
from hf_mtl.data.pictures import picture_of
from hf_mtl_light.encoding import Row

__all__ = ["DatasetMixture"]


class DatasetMixture(Dataset[Row]):
    """Rows of several datasets, numbered one dataset after the other.

    A negative number -n - 1 means row n without its labels: a filler, for a rank that has no row of a last, short
    batch.

    Args:
        datasets: The datasets.
        batch_sampler: The sampler whose epoch follows this dataset's: `accelerate` passes an epoch's number to the
            dataset, whatever it has wrapped the sampler in.
        augment: Changes a row that is drawn for training; it is given the row and its optimizer step.
    """

    def __init__(
        self,
        datasets: Sequence[LabelledDataset],
        batch_sampler: MixtureBatchSampler | None = None,
        augment: Callable[[Row, int], Row] | None = None,
    ) -> None:
        self.datasets = list(datasets)
        self._batch_sampler = batch_sampler
        self._augment = augment
        self._starts = [0, *accumulate(len(dataset) for dataset in self.datasets)]
        # Reading from Arrow costs by the call, so datasets of one kind are read as one table (which copies no row):
        # a mixed batch of a thousand datasets would be as many reads as it has rows.
        kinds: dict[Any, list[int]] = {}
        for number, dataset in enumerate(self.datasets):
            kinds.setdefault(dataset.kind, []).append(number)
        self._tables: list[tuple[LabelledDataset, Table]] = []
        #: For each dataset its table and its first row there.
        self._places = [(0, 0)] * len(self.datasets)
        for numbers in kinds.values():
            first = 0
            for number in numbers:
                self._places[number] = (len(self._tables), first)
                first += len(self.datasets[number])
            alike = [self.datasets[number].data for number in numbers]
            self._tables.append(
                (self.datasets[numbers[0]], alike[0] if len(alike) == 1 else concatenate_datasets(alike))
            )

    def __len__(self) -> int:
        return self._starts[-1]

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch's number, from 0, to the batch sampler."""
        if self._batch_sampler is not None:
            self._batch_sampler.set_epoch(epoch)

    def __getitem__(self, index: int) -> Row:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Row]:
        passes = getattr(indices, "passes", None)
        result: list[Any] = [None] * len(indices)
        asked: dict[int, list[tuple[int, int, tuple[str, int]]]] = {}
        for i, index in enumerate(indices):
            number = index if index >= 0 else -index - 1
            source = bisect_right(self._starts, number) - 1
            table, first = self._places[source]
            row = number - self._starts[source]
            asked.setdefault(table, []).append((i, first + row, (self.datasets[source].name, row)))
        for table, wanted in asked.items():
            reader, data = self._tables[table]
            positions, numbers, places = zip(*wanted, strict=True)
            for i, read in zip(positions, reader.rows(data[list(numbers)], places), strict=True):
                if indices[i] < 0:
                    result[i] = replace(read, labels={})
                else:
                    result[i] = read if passes is None else replace(read, drawn=passes[i])
                    if self._augment is not None and passes is not None:
                        result[i] = self._augment(_with_picture(result[i]), getattr(indices, "step", 0))
        return result


def _with_picture(row: Row) -> Row:
    """Return a row whose picture is read, as augmentations are given it; one that has an error names the row."""
    return row if row.image is None else replace(row, image=picture_of(row))
