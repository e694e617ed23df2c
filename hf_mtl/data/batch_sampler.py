"""Which rows make up each batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from hf_mtl.samplers import TaskSampler, interleave, permute

__all__ = ["BATCHINGS", "TaskBatchSampler"]

BATCHINGS = ("mixed", "homogeneous")


class TaskBatchSampler(Sampler[list[int]]):
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
        self._sizes = list(sizes)
        self._starts = [0, *accumulate(sizes)]
        self._draws = sampler.draws(sizes)
        self._rows = batch_size * world_size
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._epoch = 0
        self._mixed = batching == "mixed"
        # A unit is what is drawn at once: a batch of all datasets, or an optimizer step of one.
        self._cuts = 1 if self._mixed else accumulation
        self._unit = self._rows * self._cuts
        totals = [sum(self._draws)] if self._mixed else self._draws
        self._units = [total // self._unit if skip_last else -(-total // self._unit) for total in totals]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose batches come next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return sum(self._units) * self._cuts

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(len(self)):
            yield self.batch(self._epoch, step)

    def batch(self, epoch: int, step: int) -> list[int]:
        """Return this rank's rows of one batch, as numbers in the concatenation of the datasets.

        Args:
            epoch: Number of the epoch, from 0.
            step: Number of the batch in the epoch, from 0.
        """
        unit, cut = divmod(step, self._cuts)
        if self._mixed:
            start = unit * self._unit
            datasets, draws = interleave(self._draws, start, min(start + self._unit, sum(self._draws)))
        else:
            chosen, before = interleave(self._units, unit, unit + 1)
            dataset, start = int(chosen[0]), int(before[0]) * self._unit
            draws = np.arange(start, min(start + self._unit, self._draws[dataset]))
            datasets = np.full(len(draws), dataset)
        rows = self._row_numbers(epoch, datasets, draws)
        mine: list[int] = np.array_split(np.array_split(rows, self._cuts)[cut], self._world_size)[self._rank].tolist()
        # A rank or a cut without a row gets one without labels.
        return mine or [-int(rows[0]) - 1]

    def _row_numbers(
        self, epoch: int, datasets: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        rows = np.empty(len(datasets), dtype=np.int64)
        for dataset in np.unique(datasets).tolist():
            mine = datasets == dataset
            size = self._sizes[dataset]
            passes, positions = np.divmod(epoch * self._draws[dataset] + draws[mine], size)
            numbers = np.empty(len(positions), dtype=np.int64)
            for turn in np.unique(passes).tolist():
                now = passes == turn
                numbers[now] = permute(positions[now], size, key=(self._seed, dataset, turn))
            rows[mine] = self._starts[dataset] + numbers
        return rows
