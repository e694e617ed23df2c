"""Draws with the earliest deadline first: in turn, or known at any slot without the ones before."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from hf_mtl.samplers._slots import Slots
from hf_mtl.samplers._timeline import Ints, Timeline

__all__ = ["Deadlines"]

#: Draws that are looked at together when a slot is reached without the ones before.
_PIECE = 2**20


class Deadlines:
    r"""Gives each slot of a group to one of its datasets, so that every count stays within one of its share.

    Dataset d's draw number k, from 0, is open from the first position after which the dataset is owed more than k
    draws, :math:`F_d > k`, to the first after which it is owed :math:`k + 1`. A slot takes, of the draws that are
    open, the one that closes first. If each draw is made while it is open, each count is within less than one of
    :math:`F_d` at every position.

    None comes too late: the draws that must lie between two positions are, for those datasets that have any, no more
    than they are owed there, and the slots between the two are less than one short of that (`Slots`). As both are
    whole numbers, there are slots enough.

    Args:
        timeline: What each dataset is owed.
        datasets: The datasets of the group.
        slots: Its slots.

    Source: R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32, 1980, for the rule;
    S. K. Baruah et al., Proportionate progress, Algorithmica 15, 1996, for these windows.
    """

    def __init__(self, timeline: Timeline, datasets: Sequence[int], slots: Slots) -> None:
        self._timeline, self._slots = timeline, slots
        self.datasets = list(datasets)

    def walk(self, counts: list[int], first: int, stop: int) -> list[int]:
        """Return the dataset of each slot from ``first`` to ``stop - 1``.

        Args:
            counts: Draws of each dataset of the timeline before the first slot; raised by those that are made.
            first: The first slot.
            stop: One behind the last.
        """
        timeline, whole = self._timeline, self._timeline.whole
        waiting = [(self._opens(dataset, counts[dataset]), dataset) for dataset in self.datasets]
        heapq.heapify(waiting)
        is_open: list[tuple[float, int]] = []
        order = []
        for slot in range(first, stop):
            while waiting and waiting[0][0] <= slot:
                _, dataset = heapq.heappop(waiting)
                heapq.heappush(is_open, (timeline.reached(dataset, (counts[dataset] + 1) * whole), dataset))
            _, dataset = heapq.heappop(is_open)
            order.append(dataset)
            counts[dataset] += 1
            heapq.heappush(waiting, (self._opens(dataset, counts[dataset]), dataset))
        return order

    def _opens(self, dataset: int, number: int) -> float:
        """Return the first slot that a draw may have."""
        time = self._timeline.reached(dataset, number * self._timeline.whole + 1)
        return time if time == math.inf else self._slots.before(max(int(time) - 1, 0))

    def counts(self, position: int) -> dict[int, int]:
        r"""Return how many draws each dataset has before a position, without walking there.

        All draws that have closed are made, and none that has not opened: in doubt is one draw a dataset. Of these,
        as of any set X that holds with a draw also all that close before it, the number that waits after slot
        :math:`i_0` is that of a queue,

        .. math:: \max_{i \le i_0} \bigl(|\{x \in X: x \text{ opens in } i .. i_0 - 1\}| - (i_0 - i)\bigr).

        Up to the first opening of a draw in doubt the maximum is that of i = 0, since no slot before was without a
        draw. So no slots are looked at but those since: as many as a dataset of the group waits for a draw, at most.

        Args:
            position: The position.
        """
        timeline, whole = self._timeline, self._timeline.whole
        now = self._slots.before(position)
        counts, doubts = {}, []
        for dataset in self.datasets:
            counts[dataset], rest = divmod(timeline.level(dataset, position), whole)
            opens = self._opens(dataset, counts[dataset]) if rest else now
            if opens < now:
                doubts.append((timeline.reached(dataset, (counts[dataset] + 1) * whole), dataset, int(opens)))
        if not doubts:
            return counts
        # By slot since the first opening: how many open there, how many have opened before, slots less draws opened.
        opened_at = np.array([opens for *_, opens in doubts])
        opened = sum(counts.values()) + len(doubts)
        openings = self._openings(position, now, int(opened_at.min()))
        gone = np.arange(int(opened_at.min()) + 1, now + 1) - (opened - np.append(openings[:0:-1].cumsum()[::-1], 0))
        # Between two openings of draws in doubt only the greatest counts; before the first it is 0.
        edges = np.unique(opened_at)
        peaks = np.append(0, np.maximum.reduceat(gone, edges - edges[0]))
        places = np.searchsorted(edges, opened_at)
        # From all draws down to those that close first: a draw is made if those up to it wait as many without it.
        waits = opened - now + int(peaks.max())
        for (_, dataset, _), place in sorted(zip(doubts, places.tolist(), strict=True), reverse=True):
            peaks[: place + 1] -= 1
            fewer = max(opened - now + int(peaks.max()), 0)
            counts[dataset] += waits == fewer
            waits = fewer
        return counts

    def _openings(self, position: int, now: int, first: int) -> Ints:
        """Return int64 [now - first]: how many draws open at each slot."""
        found = np.zeros(now - first, dtype=np.int64)
        for start, stop in self._pieces(position, now, first):
            slots = self._slots.all_before(self._timeline.passed(self.datasets, start, stop) - 1) - first
            slots = slots[(slots >= 0) & (slots < len(found))]
            if len(slots):
                lowest = int(slots.min())
                there = np.bincount(slots - lowest)
                found[lowest : lowest + len(there)] += there
        return found

    def _pieces(self, position: int, now: int, first: int) -> Iterator[tuple[int, int]]:
        """Cut the positions since a slot into pieces of few draws, each within a stage."""
        starts = [*self._timeline.starts, position]
        # The first position before which there are so many slots.
        start = bisect_left(range(position), first, key=self._slots.before)
        length = max(1, (position - start) * _PIECE // (now - first))
        while start < position:
            end = min(start + length, starts[bisect_right(starts, start, hi=len(starts) - 1)], position)
            yield start, end
            start = end
