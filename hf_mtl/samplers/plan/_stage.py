"""A stage of a training: constant shares that continue from the counts reached before."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import Shares
from hf_mtl.samplers.plan._spread import Draws, Ints, Spread, apportioned, whole_weights

__all__ = ["Stage"]


@dataclass(frozen=True)
class Stage:
    """Constant shares over some positions.

    At its end each dataset's count is what it is owed since the training began, rounded; in between its draws are
    evenly spread. So what rounding leaves over in a stage, the next one makes good.

    Args:
        start: First position.
        positions: How many there are; ``None``: the stage has no end.
        shares: float64 [D].
        before: int64 [D]: draws before the start.
        owed: float64 [D]: sums of the shares before the start.
    """

    start: int
    positions: int | None
    shares: Shares
    before: Ints
    owed: npt.NDArray[np.float64]

    @classmethod
    def first(cls, positions: int | None, shares: Shares) -> Stage:
        """Return the stage that a training begins with."""
        nothing = np.zeros(len(shares), dtype=np.int64)
        return cls(0, positions, shares, nothing, nothing.astype(np.float64))

    def next(self, positions: int | None, shares: Shares) -> Stage:
        """Return the stage that follows one that ends."""
        length = self.positions or 0
        return Stage(
            self.start + length, positions, shares, self.before + self.counts, self.owed + length * self.shares
        )

    @cached_property
    def counts(self) -> Ints:
        """int64 [D]: draws within the stage; where it has no end, whole numbers in proportion to the shares."""
        if self.positions is None:
            return whole_weights(self.shares)
        wanted = self.owed - self.before + self.shares * self.positions
        return apportioned(np.where(self.shares > 0, wanted, -np.inf), self.positions)

    @cached_property
    def _spread(self) -> Spread:
        return Spread(self.counts)

    def draw(self, start: int, stop: int) -> Draws:
        """Return the draws of positions of the training that lie in the stage; how many came before in the training.

        Raises:
            IndexError: If they lie outside: a stage of an adaptive sampler that is past, or not decided yet.
        """
        if start < self.start or (self.positions is not None and stop > self.start + self.positions):
            raise IndexError(
                f"Position {start} is not decided: of shares that training decides, stages are decided one ahead, and "
                f"the nearest has {self.positions} positions from {self.start} on."
            )
        datasets, draws = self._spread.draw(start - self.start, stop - self.start)
        return datasets, draws + self.before[datasets]
