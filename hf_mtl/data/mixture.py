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
from hf_mtl.data.streams import StreamReader
from hf_mtl_light.encoding import Row, picture_of

__all__ = ["DatasetMixture"]


class DrawnRows(list[Any]):
    """Rows of a batch, and where the streams that they come from can be read from again."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__(rows)
        #: By name of the dataset: see `StreamReader.state`.
        self.stream_states: dict[str, Any] = {}


class DatasetMixture(Dataset[Row]):
    """Rows of several datasets, numbered one dataset after the other.

    A negative number -n - 1 means row n without its labels: a filler, for a rank that has no row of a last, short
    batch.

    Args:
        datasets: The datasets.
        batch_sampler: The sampler whose epoch follows this dataset's: `accelerate` passes an epoch's number to the
            dataset, whatever it has wrapped the sampler in.
        augment: Changes a row that is drawn for training; it is given the row and its optimizer step.
        stream_buffer: Rows of a stream that are held and permuted at a time.
        seed: Names their order.
    """

    def __init__(
        self,
        datasets: Sequence[LabelledDataset],
        batch_sampler: MixtureBatchSampler | None = None,
        augment: Callable[[Row, int], Row] | None = None,
        stream_buffer: int = 1000,
        seed: int = 0,
    ) -> None:
        self.datasets = list(datasets)
        self._batch_sampler = batch_sampler
        self._augment = augment
        self._starts = [0, *accumulate(dataset.size for dataset in self.datasets)]
        self._stream_buffer, self._seed = stream_buffer, seed
        #: Where the streams are to be read from, by name of the dataset: see `StreamReader.state`.
        self.stream_states: dict[str, Any] = {}
        self._streams: dict[int, StreamReader] = {}
        # Reading from Arrow costs by the call, so datasets of one kind are read as one table (which copies no row):
        # a mixed batch of a thousand datasets would be as many reads as it has rows.
        kinds: dict[Any, list[int]] = {}
        for number, dataset in enumerate(self.datasets):
            kind = dataset.kind if dataset.stream is None else number
            kinds.setdefault(kind, []).append(number)
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
        result = DrawnRows([None] * len(indices))
        states = result.stream_states
        asked: dict[int, list[tuple[int, int, tuple[str, int]]]] = {}
        for i, index in enumerate(indices):
            number = index if index >= 0 else -index - 1
            source = bisect_right(self._starts, number) - 1
            table, first = self._places[source]
            row = number - self._starts[source]
            asked.setdefault(table, []).append((i, first + row, (self.datasets[source].name, row)))
        for table, wanted in asked.items():
            reader, data = self._tables[table]
            in_pass: dict[int, int] = {}
            positions, numbers, places = zip(*wanted, strict=True)
            if reader.stream is None:
                columns = data[list(numbers)]
            else:
                stream = self._stream(table, reader)
                columns, found = stream.read(numbers)
                states[reader.name] = stream.state
                places = tuple((reader.name, number) for number, _ in found)
                in_pass = dict(zip(positions, (drawn for _, drawn in found), strict=True))
            for i, read in zip(positions, reader.rows(columns, places), strict=True):
                if indices[i] < 0:
                    result[i] = replace(read, labels={})
                else:
                    result[i] = read if passes is None else replace(read, drawn=in_pass.get(i, passes[i]))
                    if self._augment is not None and passes is not None:
                        result[i] = self._augment(_with_picture(result[i]), getattr(indices, "step", 0))
        return result

    def _stream(self, table: int, dataset: LabelledDataset) -> StreamReader:
        """Return the reader of a stream: each worker has its own, which begins when it is first asked."""
        if table not in self._streams:
            assert dataset.stream is not None
            self._streams[table] = StreamReader(
                dataset.name,
                dataset.stream,
                [*dataset.inputs, *dataset.tasks],
                self._stream_buffer,
                self._seed,
                self.stream_states.get(dataset.name),
            )
        return self._streams[table]


def _with_picture(row: Row) -> Row:
    """Return a row whose picture is read, as augmentations are given it; one that has an error names the row."""
    return row if row.image is None else replace(row, image=picture_of(row))
