"""The plan of proportional sampling: every row once an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl.samplers._base import Shares, normalised
from hf_mtl.samplers.plan._plan import Plan, StepShape
from hf_mtl.samplers.plan._spread import Draws, Spread

__all__ = ["EpochPlan"]


class EpochPlan(Plan):
    """Draws every row once an epoch. The last batch is short; of homogeneous batching, each dataset's last step.

    Args:
        sizes: Rows of each dataset.
        shape: What a step is made of.
    """

    def __init__(self, sizes: Sequence[int], shape: StepShape) -> None:
        self._sizes = np.array(sizes, dtype=np.int64)
        self._shape = shape
        self._total = sum(sizes)
        units = [shape.whole(rows, shape.unit) for rows in ([self._total] if shape.mixed else sizes)]
        self.epoch_units = sum(units)
        self._spread = Spread(self._sizes if shape.mixed else np.array(units, dtype=np.int64))

    def draw(self, epoch: int, unit: int) -> Draws:
        """Return the rows of a unit; every epoch draws the same counts."""
        size = self._shape.unit
        if self._shape.mixed:
            datasets, draws = self._spread.draw(unit * size, min((unit + 1) * size, self._total))
        else:
            chosen, before = self._spread.draw(unit, unit + 1)
            start = int(before[0]) * size
            draws = np.arange(start, min(start + size, int(self._sizes[chosen[0]])))
            datasets = np.repeat(chosen, len(draws))
        return datasets, epoch * self._sizes[datasets] + draws

    def shares(self, step: int) -> Shares:
        """Return each dataset's part of the rows."""
        return normalised(self._sizes)
