"""Which dataset gives the row at each position of an epoch: evenly spread, and computed instead of remembered."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["interleave"]

Node = tuple[int, "int | tuple[Node, Node]"]  # weight, and a dataset's number or two children


@functools.lru_cache(maxsize=16)
def _tree(counts: tuple[int, ...]) -> Node | None:
    """Pair the two smallest parts until one is left (Huffman's tree): no part of a part then dwarfs its sibling."""
    heap: list[tuple[int, int, Node]] = [(count, i, (count, i)) for i, count in enumerate(counts) if count > 0]
    heapq.heapify(heap)
    order = len(counts)
    while len(heap) > 1:
        first, second = heapq.heappop(heap)[2], heapq.heappop(heap)[2]
        heapq.heappush(heap, (first[0] + second[0], order, (first[0] + second[0], (first, second))))
        order += 1
    return heap[0][2] if heap else None


def interleave(counts: Sequence[int], start: int, stop: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    r"""Spread ``counts[d]`` draws of each dataset d evenly over ``sum(counts)`` positions.

    A tree halves the positions again and again: of the first m positions of a node with n, its child with :math:`n_1`
    gets :math:`\lfloor m n_1 / n + 1/2 \rfloor`. That is a formula in m, so any stretch of any epoch is reached
    without walking to it, and every count is exact at the end of the epoch. In between a dataset stays close to its
    share: within one position of it, or a little more where many datasets of very different sizes meet.

    Args:
        counts: Draws of each dataset over the whole epoch.
        start: First position wanted.
        stop: One behind the last position wanted.

    Returns:
        For each position the dataset, and how many draws that dataset had before: both int64 [stop - start].

    >>> interleave([2, 4], 0, 6)[0].tolist()
    [1, 0, 1, 1, 0, 1]
    """
    length = stop - start
    datasets = np.zeros(length, dtype=np.int64)
    draws = np.zeros(length, dtype=np.int64)

    def descend(node: Node, where: npt.NDArray[np.int64], before: npt.NDArray[np.int64]) -> None:
        # where: the positions that are this node's; before: how many of the node's came before each
        weight, content = node
        if isinstance(content, int):
            datasets[where], draws[where] = content, before
            return
        left, right = content
        # Exact in int64 up to epochs of 2^30 positions; Python integers take over beyond.
        exact = before if weight < 2**30 else before.astype(object)
        had = ((2 * exact * left[0] + weight) // (2 * weight)).astype(np.int64)
        has = ((2 * (exact + 1) * left[0] + weight) // (2 * weight)).astype(np.int64)
        goes_left = has > had
        descend(left, where[goes_left], had[goes_left])
        descend(right, where[~goes_left], (before - had)[~goes_left])

    root = _tree(tuple(counts))
    if root is not None:
        descend(root, np.arange(length), np.arange(start, stop))
    return datasets, draws
