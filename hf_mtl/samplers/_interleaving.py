"""Which dataset gives the row at each position: evenly spread, and computed instead of remembered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._deadlines import Deadlines
from hf_mtl.samplers._slots import Slots
from hf_mtl.samplers._timeline import Ints, Timeline

__all__ = ["Interleaving", "numbered"]

# Positions that are computed at once: 2 ms, or so many a dataset, since each block begins with a look at all.
_FEWEST, _EACH = 512, 4


class Interleaving:
    r"""Spreads draws so that at every position each dataset's count is within less than one of what it is owed.

    The datasets are parted in common and rare ones, each with slots of their own (`Slots`), and each slot takes the
    draw that has to be made first (`Deadlines`). Positions in turn take 2 to 7 µs each. To reach one
    from nowhere costs a look at the slots since the draws in doubt opened; the groups are cut so that these are few:
    at worst :math:`\sqrt{N D}` of N positions with D datasets, 0.1 µs each.

    Args:
        timeline: What each dataset is owed.

    >>> Interleaving(Timeline.of_counts([2, 4])).stretch(0, 6)[0].tolist()
    [1, 0, 1, 1, 0, 1]
    """

    def __init__(self, timeline: Timeline) -> None:
        common, rare = _parted(timeline)
        self._slots = [Slots(timeline, rare, is_rare) for is_rare in (False, True)] if common else []
        self._groups = [
            Deadlines(timeline, group, slots) for group, slots in zip([common, rare], self._slots, strict=False)
        ]
        self._datasets = len(timeline.parts)
        self._block_length = max(_FEWEST, _EACH * self._datasets)
        # The block that follows the one computed last, with the counts before it; and the last two blocks.
        self._next = (0, [0] * self._datasets)
        self._recent: tuple[tuple[int, tuple[Ints, Ints]], ...] = ()

    def stretch(self, start: int, stop: int) -> tuple[Ints, Ints]:
        """Return for each position the dataset, and how many draws that dataset had before: both int64 [stop - start].

        Args:
            start: First position wanted, from 0.
            stop: One behind the last position wanted.
        """
        length = self._block_length
        numbers = range(start // length, (max(stop, start + 1) - 1) // length + 1)
        blocks = [self._block(number) for number in numbers]
        first = numbers[0] * length
        datasets, draws = (np.concatenate(of)[start - first : stop - first] for of in zip(*blocks, strict=True))
        return datasets, draws

    def counts(self, position: int) -> Ints:
        """Return int64 [D]: how many draws each dataset has before a position."""
        found = np.zeros(self._datasets, dtype=np.int64)
        for group in self._groups:
            for dataset, count in group.counts(position).items():
                found[dataset] = count
        return found

    def _block(self, number: int) -> tuple[Ints, Ints]:
        for known, draws in self._recent:
            if known == number:
                return draws
        start, stop = number * self._block_length, (number + 1) * self._block_length
        known, before = self._next
        if known != number:
            before = self.counts(start).tolist()
        counts = list(before)
        order = np.empty(self._block_length, dtype=np.int64)
        times = np.arange(start, stop + 1)
        for group, slots in zip(self._groups, self._slots, strict=True):
            order[np.diff(slots.all_before(times)) > 0] = group.walk(counts, slots.before(start), slots.before(stop))
        draws = numbered(order, np.array(before, dtype=np.int64))
        self._next = (number + 1, counts)
        self._recent = (*self._recent[-1:], (number, draws))
        return draws


def numbered(order: Ints, before: Ints) -> tuple[Ints, Ints]:
    """Return the datasets in the order they are drawn, with how many draws each had before.

    Args:
        order: int64 [P]: the dataset of each position.
        before: int64 [D]: draws of each dataset before the first.
    """
    counts = np.bincount(order, minlength=len(before))
    # Positions sorted by dataset, numbered from each dataset's first.
    by_dataset = np.argsort(order, kind="stable")
    draws = np.empty(len(order), dtype=np.int64)
    draws[by_dataset] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order, draws + before[order]


def _parted(timeline: Timeline) -> tuple[list[int], list[int]]:
    """Return common and rare datasets; none that is never drawn.

    Where a draw in doubt may have opened long ago, a position is costly to reach: among the common ones as many
    positions ago as the rarest waits for a draw, among the rare ones as many of their slots. Their sum is least here.
    """
    shares: npt.NDArray[np.float64] = np.array(timeline.parts, dtype=np.float64).mean(axis=1) / max(timeline.whole, 1)
    order = np.argsort(-shares, kind="stable")
    order = order[shares[order] > 0]
    if not len(order):
        return [], []
    sorted_shares = shares[order]
    rare_shares = np.append(np.cumsum(sorted_shares[::-1])[::-1][1:], 0)
    cut = int(np.argmin(1 / sorted_shares + rare_shares / sorted_shares[-1])) + 1
    return order[:cut].tolist(), order[cut:].tolist()
