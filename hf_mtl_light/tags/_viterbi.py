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
        emissions: e, [R, W, C] float64. What lies behind a chain's end is not read.
        lengths: [R], the words of each chain, 0 to W.
        starts: b, [C].
        pairs: T, [C, C], from the row's tag to the column's.
        ends: f, [C].

    Returns:
        [R, W] int64; of tags that tie the first one, from the end. Behind a chain's end stands its last tag again.

    Source: A. J. Viterbi, Error Bounds for Convolutional Codes, IEEE Trans. Inf. Theory 13(2), 1967.
    """
    rows, width, labels = emissions.shape
    if 0 in (rows, width):
        return np.zeros((rows, width), dtype=np.int64)
    # Longest first: those that have a further word are the first ones, and no step is made behind an end.
    order = np.argsort(-lengths, kind="stable")
    emissions, last = emissions[order], np.maximum(lengths[order] - 1, 0)
    going_on = (last[:, None] > np.arange(width)).sum(0).tolist()
    scores, led = np.empty_like(emissions), np.empty((rows, labels, labels))
    scores[:, 0] = starts + emissions[:, 0]
    for word, n in enumerate(going_on[:-1]):
        # The last axis is that of the tags led to: the maxima over the others are of whole vectors at a time.
        np.add(scores[:n, word, :, None], pairs, out=led[:n])
        led[:n].max(1, out=scores[:n, word + 1])
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
