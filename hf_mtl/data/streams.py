"""Datasets that are read as they come, in the memory of a buffer: `datasets.IterableDataset`."""

from __future__ import annotations

import atexit
import copy
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
import torch.utils.data._utils.worker as torch_worker
from datasets import Dataset, IterableDataset
from datasets import Image as ImageFeature

from hf_mtl.samplers.plan import permute
from hf_mtl_light.errors import UserError

__all__ = ["StreamReader", "sample_of_stream", "stream_of", "written_stream"]

#: The rows of a stream that are read when a trainer is built: they show its columns, and are checked.
_SAMPLED = 1000


def sample_of_stream(name: str, stream: IterableDataset) -> Dataset:
    """Return the first rows of a stream as a table that knows its stream, see `stream_of`.

    Args:
        name: Name of the dataset.
        stream: The stream.

    Raises:
        ValueError: If it is one rank's part already, or has no rows.
    """
    if getattr(stream, "_distributed", None) is not None:
        raise UserError(
            f"Dataset {name!r}: split_dataset_by_node gives each process other rows, and here the processes share each "
            "batch. Pass the whole stream."
        )
    stream = _undecoded(stream)
    rows = list(islice(iter(_own(stream)), _SAMPLED))
    if not rows:
        raise UserError(f"Dataset {name!r}: the stream has no rows. Leave the dataset out, or fill it.")
    table = Dataset.from_list(rows, features=stream.features)
    setattr(table, "hf_mtl_stream", stream)  # noqa: B010  # to mypy it has no such attribute
    return table


def _undecoded(stream: IterableDataset) -> IterableDataset:
    feature = (stream.features or {}).get("image")
    if isinstance(feature, ImageFeature) and feature.decode:
        return stream.cast_column("image", ImageFeature(decode=False))
    return stream


def _own(stream: IterableDataset) -> IterableDataset:
    """Return a stream with its own place: copies share the objects that know it, and the number of the epoch."""
    own: IterableDataset = object.__new__(type(stream))
    vars(own).update(vars(stream))  # copy.copy gives both one __dict__: see IterableDataset.__setstate__
    own._ex_iterable = _own_source(stream._ex_iterable)
    own._epoch = torch.tensor(0)
    return own


def _own_source(source: Any) -> Any:
    own = object.__new__(type(source))
    vars(own).update(vars(source))
    for name, value in vars(own).items():
        if name == "ex_iterable":
            setattr(own, name, _own_source(value))
        elif name == "ex_iterables":
            setattr(own, name, [_own_source(each) for each in value])
    return own


def _holds_buffer(source: Any) -> bool:
    within = [getattr(source, "ex_iterable", None), *getattr(source, "ex_iterables", ())]
    return "BufferShuffled" in type(source).__name__ or any(_holds_buffer(each) for each in within if each is not None)


def stream_of(table: Dataset) -> IterableDataset | None:
    """Return the stream that a table is the beginning of; ``None``: it is a whole dataset."""
    found: IterableDataset | None = getattr(table, "hf_mtl_stream", None)
    return found


def written_stream(name: str, stream: IterableDataset) -> Dataset:
    """Return a stream that ends as a dataset on the disk: rows to score are read once, in flat memory.

    Raises:
        ValueError: If it has no rows.
    """
    own = _undecoded(stream)
    folder = mkdtemp(prefix="hf_mtl_stream_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    table: Dataset = Dataset.from_generator(_Rows(own), features=own.features, cache_dir=folder)
    if len(table) == 0:
        raise UserError(f"Dataset {name!r}: the stream has no rows. Leave the dataset out, or fill it.")
    return table


class _Rows:
    def __init__(self, stream: IterableDataset) -> None:
        self._stream = stream

    def __call__(self) -> Iterator[dict[str, Any]]:
        yield from _own(self._stream)

    def __reduce__(self) -> Any:  # a stream may hold what cannot be pickled, and the folder is new
        return _Rows, (None,)


class StreamReader:
    """Reads the rows of a stream by the number of their draw, which rises, pass after pass.

    Draw after draw the rows come in blocks of ``buffer`` rows, permuted by (seed, pass, block): what a draw is follows
    from its number alone, on any process. Every process reads the whole stream and takes the draws that it is asked
    for. A stream of several shards has them in another order in each pass.

    Args:
        name: Name of the dataset.
        stream: The stream, which may end: it then begins again.
        columns: The columns that are read.
        buffer: Rows of a block.
        seed: Names the order.
        state: Where to begin, as `state` returned it; ``None``: at the first row.
    """

    def __init__(
        self,
        name: str,
        stream: IterableDataset,
        columns: Sequence[str],
        buffer: int,
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._name, self._stream, self._columns = name, stream, list(columns)
        self._buffer, self._seed = buffer, seed
        begin = dict(state or {"pass": 0, "block": 0, "first": 0, "stream": None})
        self._pass, self._block, self._first = begin["pass"], begin["block"], begin["first"]
        self._rows: list[tuple[int, int, Mapping[str, Any]]] = []
        self._state: dict[str, Any] = begin
        self._open(begin["stream"])

    @property
    def state(self) -> dict[str, Any]:
        """Where the block begins that was read last, for `json`; a reader that begins there reads the same."""
        return self._state

    def read(self, draws: Sequence[int]) -> tuple[dict[str, list[Any]], list[tuple[int, int]]]:
        """Return the rows of some draws in the order asked for.

        Args:
            draws: Their numbers, none before the block that was read last.

        Returns:
            Column -> values; and for each row its number in the stream, as it is in this pass, and the pass.

        Raises:
            ValueError: If the stream has no rows.
        """
        found: dict[int, tuple[int, int, Mapping[str, Any]]] = {}
        for draw in sorted(set(draws)):
            while draw >= self._first + len(self._rows):
                self._next_block()
            position = draw - self._first
            if position < 0:
                raise RuntimeError(f"Dataset {self._name!r}: draw {draw} lies before the rows that are held.")
            found[draw] = self._rows[position]
        rows = [found[draw] for draw in draws]
        columns = {column: [row.get(column) for _, _, row in rows] for column in self._columns}
        return columns, [(number, drawn) for number, drawn, _ in rows]

    def _open(self, state: Mapping[str, Any] | None) -> None:
        self._reading = _own(self._stream)
        self._reading.set_epoch(self._pass)
        if state is not None:
            self._reading.load_state_dict(copy.deepcopy(dict(state)))
        self._iterator: Iterator[Mapping[str, Any]] = iter(self._reading)

    def _next_block(self) -> None:
        first, is_new_pass = self._first + len(self._rows), False
        while True:
            begin = self._begin(first)
            with _as_whole():
                rows = list(islice(self._iterator, self._buffer))
            if rows:
                break
            if is_new_pass:
                raise UserError(f"Dataset {self._name!r}: the stream has no rows.")
            self._pass, self._block, is_new_pass = self._pass + 1, 0, True
            self._open(None)
        if begin is not None:
            self._state = begin
        positions = permute(np.arange(len(rows)), len(rows), key=(self._seed, self._pass, self._block))
        before = self._block * self._buffer
        self._first, self._rows = first, [(before + number, self._pass, rows[number]) for number in positions.tolist()]
        self._block += 1

    def _begin(self, first: int) -> dict[str, Any] | None:
        """Return where the next block begins; ``None`` if the stream cannot be brought there exactly."""
        place = {"pass": self._pass, "block": self._block, "first": first}
        if self._block == 0:
            return {**place, "stream": None}
        # Of a shuffle buffer, datasets keeps what was read and not what it holds: such a stream is read from its start.
        if _holds_buffer(self._reading._ex_iterable):
            return None
        try:
            text = json.dumps(self._reading.state_dict())
        except TypeError:
            return None
        return {**place, "stream": json.loads(text)}


@contextmanager
def _as_whole() -> Iterator[None]:
    """Let a stream be read whole within a worker of a `DataLoader`, where datasets would give it a part."""
    info, torch_worker._worker_info = torch_worker._worker_info, None
    try:
        yield
    finally:
        torch_worker._worker_info = info
