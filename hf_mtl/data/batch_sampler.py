"""Which rows make up each batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import overload

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from hf_mtl.samplers import Interleaving, TaskSampler, permute

__all__ = ["BATCHINGS", "TaskBatchSampler"]

BATCHINGS = ("mixed", "homogeneous")


class TaskBatchSampler(Sampler[Sequence[int]]):
    """Computes the batches of an epoch: any of them alone, in O(1), the same on every rank.

    A dataset's rows come in a new permutation each time it is used up. Ranks share each batch of ``batch_size *
    world_size`` rows, so two ranks see what one would with twice the batch.

    It has no attribute ``batch_size``, ``drop_last`` or ``sampler`` on purpose: `accelerate` takes one that has for a
    plain batch sampler and drops a short batch in mid-stream.

    Args:
        sizes: Rows of each dataset.
        sampler: How many rows an epoch draws from each dataset.
        batch_size: Rows of a batch on one rank.
        seed: Names the order; the same seed repeats it.
        batching: ``"mixed"``: a batch holds rows of all datasets; ``"homogeneous"``: an optimizer step holds rows of
            one.
        accumulation: Batches of an optimizer step. Homogeneous steps are cut into as many, the short ones too, so
            that the rows of a step do not depend on how it is cut.
        skip_last: Whether a last, short batch is left out; of homogeneous batching, each dataset's short step.
        rank: This process's number.
        world_size: Number of processes.

    Raises:
        ValueError: If ``batching`` is unknown.

    >>> from hf_mtl.samplers import ProportionalSampler
    >>> batches = list(TaskBatchSampler([2, 4], ProportionalSampler(), batch_size=3, seed=1))
    >>> sorted(row for batch in batches for row in batch)
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        sampler: TaskSampler,
        batch_size: int,
        seed: int = 0,
        batching: str = "mixed",
        accumulation: int = 1,
        skip_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batching not in BATCHINGS:
            raise ValueError(f"batching must be one of {BATCHINGS}, found {batching!r}.")
        self._sizes = np.array(sizes, dtype=np.int64)
        self._starts = np.array([0, *accumulate(sizes)], dtype=np.int64)
        draws = sampler.draws(sizes)
        self._draws = np.array(draws, dtype=np.int64)
        self._rows = batch_size * world_size
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._epoch = 0
        self._mixed = batching == "mixed"
        # A unit is what is drawn at once: a batch of all datasets, or an optimizer step of one.
        self._cuts = 1 if self._mixed else accumulation
        self._unit = self._rows * self._cuts
        totals = [sum(draws)] if self._mixed else draws
        units = [total // self._unit if skip_last else -(-total // self._unit) for total in totals]
        self._total, self._length = sum(draws), sum(units) * self._cuts
        self._interleaving = Interleaving(draws if self._mixed else units)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose batches come next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Sequence[int]]:
        for step in range(len(self)):
            # A resumed training goes through all batches that it has trained on: accelerate's `SkipBatchSampler` has
            # no other way. So a batch is computed when it is read, and those passed over never.
            yield _LazyBatch(self, self._epoch, step)

    def batch(self, epoch: int, step: int) -> list[int]:
        """Return this rank's rows of one batch, as numbers in the concatenation of the datasets.

        Args:
            epoch: Number of the epoch, from 0.
            step: Number of the batch in the epoch, from 0.
        """
        unit, cut = divmod(step, self._cuts)
        if self._mixed:
            start = unit * self._unit
            datasets, draws = self._interleaving.stretch(start, min(start + self._unit, self._total))
        else:
            chosen, before = self._interleaving.stretch(unit, unit + 1)
            start = int(before[0]) * self._unit
            draws = np.arange(start, min(start + self._unit, int(self._draws[chosen[0]])))
            datasets = np.repeat(chosen, len(draws))
        rows = self._row_numbers(epoch, datasets, draws)
        mine: list[int] = np.array_split(np.array_split(rows, self._cuts)[cut], self._world_size)[self._rank].tolist()
        # A rank or a cut without a row gets one without labels.
        return mine or [-int(rows[0]) - 1]

    def _row_numbers(
        self, epoch: int, datasets: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        sizes = self._sizes[datasets]
        passes, positions = np.divmod(epoch * self._draws[datasets] + draws, sizes)
        return self._starts[datasets] + permute(positions, sizes, key=(self._seed, datasets, passes))


class _LazyBatch(Sequence[int]):
    """A batch's row numbers, computed when they are first read."""

    def __init__(self, sampler: TaskBatchSampler, epoch: int, step: int) -> None:
        self._sampler, self._epoch, self._step = sampler, epoch, step

    @cached_property
    def _rows(self) -> list[int]:
        return self._sampler.batch(self._epoch, self._step)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self._rows[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    # As lists: a hash of the numbers would compute them.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[list[int]], tuple[list[int]]]:
        # To a worker goes what the batch holds, not the sampler, which grows with the number of datasets.
        return list, (self._rows,)
