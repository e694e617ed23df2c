"""The best sequence of tags in a linear chain."""

from __future__ import annotations

import numpy as np

__all__ = ["best_sequences", "laid_out"]


def laid_out(lengths: np.ndarray) -> np.ndarray:
    """Return where the words of chains lie when padded to the longest, [R, W] bool, from their ``lengths`` [R].

    >>> laid_out(np.array([2, 0, 1])).astype(int).tolist()
    [[1, 1], [0, 0], [1, 0]]
    """
    longest = int(lengths.max()) if len(lengths) else 0
    places: np.ndarray = np.arange(longest) < lengths[:, None]
    return places


def best_sequences(
    emissions: np.ndarray, lengths: np.ndarray, starts: np.ndarray, pairs: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    r"""Return for each chain a sequence of tags of the highest score (Viterbi's algorithm).

    A sequence :math:`y` of W tags scores

    .. math:: s(y) = b_{y_1} + \sum_{t=1}^{W} e_{t, y_t} + \sum_{t=2}^{W} T_{y_{t-1}, y_t} + f_{y_W}

    Args:
        emissions: e, [R, W, C] float64. What lies after a chain's end is not read.
        lengths: [R], the words of each chain, 0 to W.
        starts: b, [C].
        pairs: T, [C, C], from the row's tag to the column's.
        ends: f, [C].

    Returns:
        [R, W] int64; of tags that tie the first one, from the end. After a chain's end its last tag is repeated.

    Source: A. J. Viterbi, Error Bounds for Convolutional Codes, IEEE Trans. Inf. Theory 13(2), 1967.
    """
    rows, width, _ = emissions.shape
    if 0 in (rows, width):
        return np.zeros((rows, width), dtype=np.int64)
    # Longest first: those that have a further word are the first ones, and no step is made after an end.
    order = np.argsort(-lengths, kind="stable")
    emissions, last = emissions[order], np.maximum(lengths[order] - 1, 0)
    going_on = (last[:, None] > np.arange(width)).sum(0).tolist()
    scores, steps = np.empty_like(emissions), _Steps(pairs, rows)
    scores[:, 0] = starts + emissions[:, 0]
    for word, n in enumerate(going_on[:-1]):
        steps.take(scores[:n, word], scores[:n, word + 1])
        scores[:n, word + 1] += emissions[:n, word + 1]
    tags = np.empty((rows, width), dtype=np.int64)
    tags[:] = (scores[np.arange(rows), last] + ends).argmax(-1)[:, None]
    into = pairs.T
    for word in range(width - 2, -1, -1):
        n = going_on[word]
        # Where the best came from is found again for one tag a chain: cheaper than to note it for all.
        tags[:n, word] = (scores[:n, word] + into[tags[:n, word + 1]]).argmax(-1)
    in_order = np.empty_like(tags)
    in_order[order] = tags
    return in_order


class _Steps:
    """Steps along chains. Where rules leave most tags few that may precede them, only these are looked at.

    Args:
        pairs: [C, C], minus infinity where the column's tag may not follow the row's.
        rows: The most chains.
    """

    def __init__(self, pairs: np.ndarray, rows: int) -> None:
        may = pairs > -np.inf
        counts = may.sum(0)
        bound = counts <= len(pairs) // 8
        self._bound, self._free = np.flatnonzero(bound), np.flatnonzero(~bound)
        # [K, S]: what may precede each of the S bound tags; others fill up where fewer than K may.
        self._before = np.argsort(~may[:, bound], axis=0, kind="stable")[: max(1, counts[bound].max(initial=0))]
        self._pairs_bound = np.take_along_axis(pairs[:, bound], self._before, 0)
        free = pairs[:, ~bound]
        # In rules without scores all that any tag may precede have the same ones before them: one maximum for all.
        self._pairs_free = free[:, :1] if (free == free[:, :1]).all() else free
        self._led = np.empty((rows, *self._pairs_free.shape))

    def take(self, scores: np.ndarray, out: np.ndarray) -> None:
        """Write the best score that leads to each tag, [n, C] like ``scores``, those of the tags before."""
        # The last axis is that of the tags led to: the maxima over the others are of whole vectors at a time.
        led = np.add(scores[:, :, None], self._pairs_free, out=self._led[: len(scores)])
        out[:, self._free] = led.max(1)
        out[:, self._bound] = (scores[:, self._before] + self._pairs_bound).max(1)
