"""Which dataset is drawn at each position: evenly spread, and computed instead of remembered."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import Shares

__all__ = ["Draws", "Ints", "Spread", "apportioned", "whole_weights"]

Ints = npt.NDArray[np.int64]

#: For each position the dataset, and how many draws that dataset had before: both int64.
Draws = tuple[Ints, Ints]

#: The sum of whole weights that stand for shares: as finely as float64 numbers below 1 are spaced.
_WHOLE = 2**50


class Spread:
    r"""Spreads draws so that at every position each dataset's count is within two of its share.

    The datasets are the leaves of a Huffman tree. Of the first n draws of a node, its lighter child has
    :math:`\lfloor n w_{light} / w + 1/2 \rfloor` and the other the rest, so a draw is followed from the root to its
    leaf, whichever was asked for before: time O(tree's depth), memory O(D). After as many draws as the weights have in
    sum, each dataset has as many as its weight, and the order repeats.

    A node's count is off by half a draw at most, plus its part of what its parent is off. In a Huffman tree a node has
    at most half of its grandparent's weight, so a leaf is off by less than
    :math:`\frac12 (1 + 1 + \frac12 + \frac12 + \frac14 + \frac14 + \dots) = 2`.

    Args:
        weights: int64 [D], at least 0, at most 2^50 in sum.

    Source: D. Huffman, A Method for the Construction of Minimum-Redundancy Codes, Proc. IRE 40, 1952, for the tree.

    >>> Spread(np.array([2, 4])).draw(0, 6)
    (array([1, 0, 1, 1, 0, 1]), array([0, 0, 1, 2, 1, 3]))
    """

    def __init__(self, weights: Ints) -> None:
        self._datasets = len(weights)
        heap = [(weight, dataset) for dataset, weight in enumerate(weights.tolist()) if weight]
        heapq.heapify(heap)
        nodes = []
        while len(heap) > 1:
            light, heavy = heapq.heappop(heap), heap[0]
            nodes.append((light[1], heavy[1], light[0], light[0] + heavy[0]))
            heapq.heapreplace(heap, (light[0] + heavy[0], self._datasets + len(nodes) - 1))
        self._root = heap[0][1] if heap else 0
        self._light, self._heavy, self._light_weights, self._weights = np.array(nodes, dtype=np.int64).reshape(-1, 4).T

    def draw(self, start: int, stop: int) -> Draws:
        """Return the draws of positions.

        Args:
            start: First position, from 0.
            stop: The position after the last.

        Returns:
            int64 [stop - start]: the dataset of each position; how many draws it had before.
        """
        nodes, numbers = np.full(stop - start, self._root), np.arange(start, stop)
        while len(inner := np.flatnonzero(nodes >= self._datasets)):
            node, number = nodes[inner] - self._datasets, numbers[inner]
            weight, light_weight = self._weights[node], self._light_weights[node]
            lights, rest = _divided(number, 2 * light_weight, weight, 2 * weight)
            is_light = rest >= 2 * (weight - light_weight)
            nodes[inner] = np.where(is_light, self._light[node], self._heavy[node])
            numbers[inner] = np.where(is_light, lights, number - lights)
        return nodes, numbers


def whole_weights(shares: Shares) -> Ints:
    """Return shares as whole numbers of constant sum; each above 0 is at least 1, equal ones stay equal.

    Args:
        shares: float64 [D], 1 in sum.
    """
    # A sum that the datasets divide: of D equal shares each is a D-th.
    whole = _WHOLE - _WHOLE % max(int((shares > 0).sum()), 1)
    weights = np.maximum(np.round(shares * whole), shares > 0).astype(np.int64)
    weights[np.argmax(weights)] += whole - int(weights.sum())
    return weights


def apportioned(wanted: npt.NDArray[np.float64], total: int) -> Ints:
    """Round to whole numbers of at least 0 with a given sum: down, and then those up that are off most.

    Args:
        wanted: float64 [D], ``total`` in sum but for what is below 0, which gets nothing, or minus infinity.
        total: The sum.

    Returns:
        int64 [D].
    """
    wanted = np.round(wanted, 9)  # what is equal but for rounding errors is equal
    found = np.maximum(np.floor(wanted), 0).astype(np.int64)
    while missing := total - int(found.sum()):
        order = np.argsort(found - wanted, kind="stable")
        if missing > 0:
            found[order[np.isfinite(wanted[order])][:missing]] += 1
        else:
            found[order[found[order] > 0][missing:]] -= 1
    return found


def _divided(numbers: Ints, factors: Ints, plus: Ints, divisors: Ints) -> tuple[Ints, Ints]:
    """Return quotient and remainder of ``(numbers * factors + plus) / divisors``, also where products exceed int64.

    Quotients must be below 2^50. A float64 is then off by one at most; what it leaves over is small, so its remainder
    modulo 2^64, which is what int64 arithmetic gives, is the remainder itself.
    """
    guess = np.floor(numbers * (factors / divisors) + plus / divisors).astype(np.int64)
    more, rest = np.divmod(numbers * factors + plus - guess * divisors, divisors)
    return guess + more, rest
