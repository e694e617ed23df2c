"""The exact way to spread draws: position after position, the most urgent dataset first."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import Shares

__all__ = ["WALKED", "Walk"]

#: The most positions that are walked: a quarter of a second and 1.2 MB.
WALKED = 100_000
# Below what slack sets apart (1 / 2000 with a thousand datasets), above what sums of floats err by.
_TINY = 1e-9


class Walk:
    r"""Gives each position to a dataset so that each dataset's count stays within one of its share, at every position.

    Dataset d is owed :math:`F_d(j)` draws after j positions, the sum of its shares until then. Its draw number k may
    be given once :math:`F_d(j) \ge k + \delta` and must be by the first j with :math:`F_d(j) \ge k + 1 - \delta`,
    :math:`\delta = 1 / (2 D - 2)`; of the draws that may be given, the one that must be first is. With shares known in
    advance no count then differs from its share by more than :math:`1 - \delta`, also where shares change.

    Args:
        shares: Shares of each stage.
        lengths: Positions of each stage.
        owed: float64 [D], 0 in sum: by how much each dataset is behind its share at the start.

    Source: R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32, 1980, theorem 1.

    >>> Walk([np.array([1 / 3, 2 / 3])], [6], np.zeros(2)).stretch(0, 6)[0].tolist()
    [1, 0, 1, 1, 0, 1]
    """

    def __init__(self, shares: Sequence[Shares], lengths: Sequence[int], owed: npt.NDArray[np.float64]) -> None:
        order = np.array(_walked(shares, lengths, owed), dtype=np.int32)
        #: int64 [D]: draws of each dataset.
        self.counts = np.bincount(order, minlength=len(owed))
        # How often its dataset came before, for each position: positions sorted by dataset, numbered from each first.
        by_dataset = np.argsort(order, kind="stable")
        firsts = np.cumsum(self.counts) - self.counts
        before = np.empty(len(order), dtype=np.int64)
        before[by_dataset] = np.arange(len(order)) - np.repeat(firsts, self.counts)
        self._order, self._before = order, before

    def stretch(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return for each position the dataset, and how many draws that dataset had before: see `Interleaving`."""
        return self._order[start:stop].astype(np.int64), self._before[start:stop].copy()


def _walked(shares: Sequence[Shares], lengths: Sequence[int], owed: npt.NDArray[np.float64]) -> list[int]:
    table = np.array(shares)
    starts = [0, *np.cumsum(lengths).tolist()][:-1]
    # What each dataset is owed at the start of each stage: [D][S].
    levels = (owed + np.cumsum([np.zeros(len(owed)), *table[:-1] * np.array(lengths[:-1])[:, None]], axis=0)).T.tolist()
    rates = table.T.tolist()
    drawn = int((table.max(axis=0) > 0).sum())
    slack = 1 / (2 * max(drawn - 1, 1))

    def reached(dataset: int, level: float) -> float:
        """Return the first position, from 1, after which a dataset is owed so much."""
        stage = bisect_left(levels[dataset], level - _TINY) - 1
        if stage < 0:
            return 1
        rate = rates[dataset][stage]
        return math.ceil(starts[stage] + (level - _TINY - levels[dataset][stage]) / rate) if rate > 0 else math.inf

    counts = [0] * len(rates)
    waiting = [(reached(dataset, slack), dataset) for dataset in range(len(rates))]
    heapq.heapify(waiting)
    ready: list[tuple[float, int]] = []
    order = []
    for position in range(1, sum(lengths) + 1):
        while waiting and waiting[0][0] <= position:
            _, dataset = heapq.heappop(waiting)
            heapq.heappush(ready, (reached(dataset, counts[dataset] + 1 - slack), dataset))
        # After shares changed unforeseen, it can be that none may be drawn: then the next that may.
        _, dataset = heapq.heappop(ready or waiting)
        order.append(dataset)
        counts[dataset] += 1
        heapq.heappush(waiting, (reached(dataset, counts[dataset] + slack), dataset))
    return order
