"""Which positions belong to the rare datasets, and which to the common ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl.samplers._timeline import Ints, Timeline, floor_ratio

__all__ = ["Slots"]


class Slots:
    r"""Parts the positions among two groups: the rare datasets' are evenly spaced, the others have the rest.

    Of the first t positions the rare ones have :math:`\lfloor F(t) + 1/2 \rfloor`, where F is what they are owed
    together: half a position from it at most. A slot is a group's position, numbered from 0.

    Args:
        timeline: What each dataset is owed.
        rare: The rare datasets, if any.
        is_rare: Whether these are the slots of the rare ones.
    """

    def __init__(self, timeline: Timeline, rare: Sequence[int], is_rare: bool) -> None:
        self._is_rare = is_rare
        together = Timeline(
            [[sum(timeline.parts[d][stage] for d in rare)] for stage in range(len(timeline.starts))],
            timeline.whole,
            timeline.starts,
        )
        self._together, self._whole = together, timeline.whole
        self._starts = np.array(timeline.starts, dtype=np.int64)
        self._factors = 2 * np.array(together.parts[0], dtype=np.int64)
        halves = [divmod(2 * level + timeline.whole, 2 * timeline.whole) for level in together.levels[0]]
        self._given, self._rests = np.array(halves, dtype=np.int64).T

    def before(self, position: int) -> int:
        """Return how many slots there are before a position."""
        given = (2 * self._together.level(0, position) + self._whole) // (2 * self._whole)
        return given if self._is_rare else position - given

    def all_before(self, positions: Ints) -> Ints:
        """Return how many slots there are before each position."""
        stages = np.searchsorted(self._starts, positions, side="right") - 1
        given: Ints = self._given[stages] + floor_ratio(
            positions - self._starts[stages], self._factors[stages], self._rests[stages], 2 * self._whole
        )
        return given if self._is_rare else positions - given
