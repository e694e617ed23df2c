"""What each dataset is owed at each position, exactly."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import Shares

__all__ = ["Ints", "Timeline", "floor_ratio"]

Ints = npt.NDArray[np.int64]

#: Shares are rounded to about so many parts: far below what a float64 sum of them could tell.
_PARTS = 2**50


class Timeline:
    r"""What each dataset is owed: :math:`F_d(t)`, the sum of its shares over the first t positions.

    Shares are whole parts of one number and constant within a stage, so every value is an exact fraction at any
    position, however far. Levels below are numerators: :math:`F_d(t)` times ``whole``.

    Args:
        parts: int [S][D]: of each stage each dataset's parts, ``whole`` in sum.
        whole: The parts of a position, at most 2^50.
        starts: First position of each stage, rising from 0. The last stage has no end.
        behind: int [D]: levels at position 0, where a dataset is behind its share already, or ahead of it.
    """

    def __init__(
        self,
        parts: Sequence[Sequence[int]],
        whole: int,
        starts: Sequence[int] = (0,),
        behind: Sequence[int] | None = None,
    ) -> None:
        self.whole = whole
        self.starts = list(starts)
        #: Parts and levels by dataset, then by stage.
        self.parts: list[list[int]] = [list(of) for of in zip(*parts, strict=True)]
        self.levels: list[list[int]] = [[level] for level in behind or [0] * len(self.parts)]
        for levels, of in zip(self.levels, self.parts, strict=True):
            for number, (start, stop) in enumerate(pairwise(self.starts)):
                levels.append(levels[-1] + of[number] * (stop - start))

    @classmethod
    def of_counts(cls, counts: Iterable[int]) -> Timeline:
        """Return that of whole counts of draws, in which the same order begins anew after their sum.

        Args:
            counts: Draws of each dataset.
        """
        parts = [int(count) for count in counts]
        return cls([parts], sum(parts))

    @classmethod
    def of_shares(
        cls, shares: Sequence[Shares], starts: Sequence[int] = (0,), behind: npt.NDArray[np.float64] | None = None
    ) -> Timeline:
        """Return that of shares; each above 0 counts as at least one part of 2^50.

        Args:
            shares: float64 [D] of each stage.
            starts: First position of each stage.
            behind: float64 [D], 0 in sum: draws that each dataset is behind its share at position 0.
        """
        # A whole that the datasets divide: equal shares stay equal.
        drawn = int((np.max(shares, axis=0) > 0).sum())
        whole = _PARTS - _PARTS % max(drawn, 1)
        rounded = [_rounded(np.maximum(of * whole, of > 0), whole) for of in shares]
        return cls(rounded, whole, starts, None if behind is None else _rounded(behind * whole, 0))

    def level(self, dataset: int, position: int) -> int:
        """Return a dataset's level after so many positions."""
        stage = bisect_right(self.starts, position) - 1
        return self.levels[dataset][stage] + self.parts[dataset][stage] * (position - self.starts[stage])

    def reached(self, dataset: int, level: int) -> float:
        """Return after how many positions a dataset has a level: an ``int``, infinity if never."""
        levels = self.levels[dataset]
        stage = bisect_left(levels, level) - 1
        if stage < 0:
            return 0
        parts = self.parts[dataset][stage]
        return self.starts[stage] - (levels[stage] - level) // parts if parts else math.inf

    def passed(self, datasets: Sequence[int], start: int, stop: int) -> Ints:
        """Return each time after ``start`` and up to ``stop`` at which a dataset comes to be owed more than it was.

        Args:
            datasets: The datasets.
            start: Positions, from which on no dataset is ahead of its share.
            stop: Positions, within the stage of ``start`` or at its end.

        Returns:
            int64 [E]: after how many positions some dataset is owed more than a whole number of draws for the first
            time, once for each dataset and number.
        """
        stage = bisect_right(self.starts, start) - 1
        base, whole = self.starts[stage], self.whole
        levels = np.array([self.levels[d][stage] for d in datasets], dtype=object)
        parts = np.array([self.parts[d][stage] for d in datasets], dtype=object)
        # Numbers of draws from here on are counted from the one that the stage begins in.
        begun = levels // whole
        rests = levels - begun * whole
        first, end = (-((-(rests + parts * (time - base))) // whole) for time in (start, stop))
        counts = (end - first).astype(np.int64)
        each = np.repeat(np.arange(len(datasets)), counts)
        numbers = first.astype(np.int64)[each] + np.arange(len(each)) - (np.cumsum(counts) - counts)[each]
        plus: Ints = -rests.astype(np.int64)[each]
        return base + 1 + floor_ratio(numbers, whole, plus, parts.astype(np.int64)[each])


def floor_ratio(numbers: Ints, factor: Ints | int, plus: Ints | int, divisor: Ints | int) -> Ints:
    """Return ``(numbers * factor + plus) // divisor``, exactly, also where products do not fit into int64.

    Results must be below 2^50. A float64 is then off by one at most; what it leaves over is small, so its remainder
    modulo 2^64, which is what int64 arithmetic gives, is the remainder itself.
    """
    guess = np.floor(numbers * (factor / divisor) + plus / divisor).astype(np.int64)
    rest: Ints = numbers * factor + plus - guess * divisor
    found: Ints = guess + rest // divisor
    return found


def _rounded(parts: npt.NDArray[np.float64], total: int) -> list[int]:
    """Round to whole numbers of a given sum, none that is above 0 to 0."""
    rounded = [int(part) for part in np.round(parts)]
    # The largest takes what rounding has left over.
    rounded[int(np.argmax(parts))] += total - sum(rounded)
    return rounded
