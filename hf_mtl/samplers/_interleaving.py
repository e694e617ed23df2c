"""Which dataset gives the row at each position of an epoch: evenly spread, and computed instead of remembered."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Interleaving"]

# Below it a product of two numbers of positions fits into int64.
_EXACT = 2**30


class Interleaving:
    r"""Spreads ``counts[d]`` draws of each dataset d evenly over ``sum(counts)`` positions.

    A tree halves the positions again and again: of the first m positions of a node with n, its child with :math:`n_1`
    gets :math:`\lfloor m n_1 / n + 1/2 \rfloor`. That is a formula in m, so any stretch of any epoch is reached
    without walking to it, and every count is exact at the end of the epoch. In between a dataset stays close to its
    share: within one position of it, or a little more where many datasets of very different sizes meet (`Walk` stays
    within one always, but has to go through all positions).

    The tree is Huffman's, which pairs the two smallest parts until one is left: no part of a part then dwarfs its
    sibling, and large datasets, near the root, are reached in few steps.

    Behind ``sum(counts)`` positions the same order begins anew. Equal counts are turns: a plain cycle.

    Args:
        counts: Draws of each dataset over the whole epoch.

    >>> Interleaving([2, 4]).stretch(0, 6)[0].tolist()
    [1, 0, 1, 1, 0, 1]
    """

    def __init__(self, counts: Sequence[int]) -> None:
        # Nodes 0 .. n - 1 are the datasets, the others join two nodes each; the last is the root.
        weights = list(counts)
        children = [(-1, -1)] * len(weights)
        heap = [(count, node) for node, count in enumerate(weights) if count > 0]
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            heapq.heappush(heap, (first[0] + second[0], len(weights)))
            weights.append(first[0] + second[0])
            children.append((first[1], second[1]))
        self._leaves = len(counts)
        self._root = heap[0][1] if heap else 0
        self._weights = np.array(weights, dtype=np.int64)
        self._children = np.array(children, dtype=np.int64).reshape(-1, 2)
        drawn = np.flatnonzero(self._weights[: self._leaves])
        is_even = len(set(self._weights[drawn].tolist())) == 1
        self._turns = drawn if is_even else None

    def stretch(self, start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return for each position the dataset, and how many draws that dataset had before: both int64 [stop - start].

        Args:
            start: First position wanted, from 0.
            stop: One behind the last position wanted.
        """
        positions = np.arange(start, stop)
        if self._turns is not None:
            rounds, turns = np.divmod(positions, len(self._turns))
            return self._turns[turns], rounds
        nodes = np.full(stop - start, self._root)
        passes, before = np.divmod(positions, self._weights[self._root])
        # All positions go down the tree together, a level a turn.
        while len(inner := np.flatnonzero(nodes >= self._leaves)):
            left, right = self._children[nodes[inner]].T
            weights, lefts, had = self._weights[nodes[inner]], self._weights[left], before[inner]
            if weights.max() >= _EXACT:
                # Python's integers take over where int64 would overflow.
                weights, lefts, had = weights.astype(object), lefts.astype(object), had.astype(object)
            twice = 2 * had * lefts + weights
            gone = (twice // (2 * weights)).astype(np.int64)
            goes_left = ((twice + 2 * lefts) // (2 * weights)).astype(np.int64) > gone
            nodes[inner] = np.where(goes_left, left, right)
            before[inner] = np.where(goes_left, gone, before[inner] - gone)
        return nodes, before + passes * self._weights[nodes]
