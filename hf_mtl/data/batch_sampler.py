"""Which rows make up each batch: a pure function of (seed, epoch, step)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import overload

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from hf_mtl.samplers import DatasetSampler
from hf_mtl.samplers.plan import BATCHINGS, SamplingRules, StepShape, make_plan, permute
from hf_mtl_light.errors import UserError

__all__ = ["DrawnBatch", "MixtureBatchSampler"]

#: In place of a pass's number: the permutation whose beginning are the rows that ``max_rows`` leaves.
_CHOICE = -1


class DrawnBatch(list[int]):
    """The numbers of rows drawn for a batch, and which pass over its dataset each of them is of.

    A row comes once a pass: dataset, row and pass name a draw.

    Args:
        rows: The numbers.
        passes: For each the number of the pass, from 0.
        step: The optimizer step that they are trained in, from 0.
    """

    def __init__(self, rows: Sequence[int], passes: Sequence[int], step: int = 0) -> None:
        super().__init__(rows)
        self.passes = list(passes)
        self.step = step

    def __reduce__(self) -> tuple[type[DrawnBatch], tuple[list[int], list[int], int]]:
        return DrawnBatch, (list(self), self.passes, self.step)


class MixtureBatchSampler(Sampler[Sequence[int]]):
    """Computes the batches of an epoch: any of them alone, in O(1), the same on every rank.

    A dataset's rows come in a new permutation each time it is used up. Ranks share each batch of ``batch_size *
    world_size`` rows, so two ranks see what one would with twice the batch. The order in which datasets are given does
    not change what is drawn: they are put in order by size, those of equal size by name. So names matter only between
    datasets of equal size.

    It has no attribute ``batch_size``, ``drop_last`` or ``sampler`` on purpose: `accelerate` takes one that has for a
    plain batch sampler and drops a short batch in mid-stream.

    Args:
        sizes: Rows of each dataset, by name.
        sampler: How often each dataset is drawn.
        batch_size: Rows of a batch on one rank.
        seed: Names the order; the same seed repeats it.
        batching: ``"mixed"``: a batch holds rows of all datasets; ``"homogeneous"``: an optimizer step holds rows of
            one.
        accumulation: Batches of an optimizer step. Homogeneous steps are cut into as many, the short ones too, so
            that the rows of a step do not depend on how it is cut.
        skip_last: Whether what does not fill a batch or step at the end of an epoch is left out.
        rank: This process's number.
        world_size: Number of processes.
        rules: Options that go with any strategy.
        epochs: Epochs of the training, for shares that change in its course.
        max_steps: Its optimizer steps, in place of ``epochs``, if above 0.
        streams: Datasets whose rows come in the order of their draws: `StreamReader` permutes them.

    Raises:
        ValueError: If ``batching`` is unknown, or the sampler or the rules do not fit the datasets.

    >>> from hf_mtl.samplers import ProportionalSampler
    >>> batches = list(MixtureBatchSampler({"trec": 2, "sst2": 4}, ProportionalSampler(), batch_size=3, seed=1))
    >>> sorted(row for batch in batches for row in batch)
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        sampler: DatasetSampler,
        batch_size: int,
        seed: int = 0,
        batching: str = "mixed",
        accumulation: int = 1,
        skip_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        rules: SamplingRules | None = None,
        epochs: float = 1,
        max_steps: int = -1,
        streams: Sequence[str] = (),
    ) -> None:
        if batching not in BATCHINGS:
            raise UserError(f"batching must be one of {BATCHINGS}, found {batching!r}.")
        starts = dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))
        ordered = {name: sizes[name] for name in sorted(sizes, key=lambda name: (sizes[name], name))}
        used = (rules or SamplingRules()).limited(ordered)
        self._names = list(ordered)
        self._starts = np.array([starts[name] for name in ordered], dtype=np.int64)
        self._sizes = np.array(list(ordered.values()), dtype=np.int64)
        self._used = np.array(list(used.values()), dtype=np.int64)
        self._is_stream = np.array([name in streams for name in ordered])
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._epoch = 0
        shape = StepShape(batch_size * world_size, accumulation, batching == "mixed", skip_last)
        self._cuts = shape.cuts
        self._accumulation = accumulation
        #: What is drawn when.
        self.plan = make_plan(sampler, ordered, shape, rules=rules, epochs=epochs, max_steps=max_steps, seed=seed)

    def shares(self, step: int) -> dict[str, float]:
        """Return each dataset's share in force at an optimizer step, from 0."""
        return dict(zip(self._names, self.plan.shares(step).tolist(), strict=True))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose batches come next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self.plan.epoch_units * self._cuts

    @property
    def epoch_steps(self) -> int:
        """Optimizer steps of an epoch; the last may have fewer batches."""
        return math.ceil(len(self) / self._accumulation)

    def __iter__(self) -> Iterator[Sequence[int]]:
        for step in range(len(self)):
            # A resumed training goes through all batches that it has trained on: accelerate's `SkipBatchSampler` has
            # no other way. So a batch is computed when it is read, and those passed over never.
            yield _LazyBatch(self, self._epoch, step)

    def batch(self, epoch: int, step: int) -> DrawnBatch:
        """Return this rank's rows of one batch, as numbers in the concatenation of the datasets.

        Args:
            epoch: Number of the epoch, from 0.
            step: Number of the batch in the epoch, from 0.
        """
        unit, cut = divmod(step, self._cuts)
        trained_in = epoch * self.epoch_steps + step // self._accumulation
        drawn = self._row_numbers(*self.plan.draw(epoch, unit))
        rows, passes = (
            np.array_split(np.array_split(numbers, self._cuts)[cut], self._world_size)[self._rank].tolist()
            for numbers in drawn
        )
        # A rank or a cut without a row gets one without labels.
        return DrawnBatch(rows, passes, trained_in) if rows else DrawnBatch([-int(drawn[0][0]) - 1], [0], trained_in)

    def _row_numbers(
        self, datasets: npt.NDArray[np.int64], draws: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        sizes, used = self._sizes[datasets], self._used[datasets]
        passes, positions = np.divmod(draws, used)
        rows = permute(positions, used, key=(self._seed, datasets, passes))
        limited = np.flatnonzero(used < sizes)
        rows[limited] = permute(rows[limited], sizes[limited], key=(self._seed, datasets[limited], _CHOICE))
        streamed = self._is_stream[datasets]
        rows[streamed], passes[streamed] = draws[streamed], 0
        return self._starts[datasets] + rows, passes


class _LazyBatch(Sequence[int]):
    """A batch's row numbers, computed when they are first read."""

    def __init__(self, sampler: MixtureBatchSampler, epoch: int, step: int) -> None:
        self._sampler, self._epoch, self._step = sampler, epoch, step

    @cached_property
    def _rows(self) -> DrawnBatch:
        return self._sampler.batch(self._epoch, self._step)

    @property
    def passes(self) -> list[int]:
        """See `DrawnBatch`."""
        return self._rows.passes

    @property
    def step(self) -> int:
        """See `DrawnBatch`."""
        return self._rows.step

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

    def __reduce__(self) -> tuple[type[DrawnBatch], tuple[list[int], list[int], int]]:
        # To a worker goes what the batch holds, not the sampler, which grows with the number of datasets.
        return DrawnBatch, (list(self._rows), self._rows.passes, self._rows.step)
