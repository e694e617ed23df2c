"""Shares to whole numbers of draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import Shares
from hf_mtl.samplers._interleaving import Interleaving

__all__ = ["endless", "whole_counts"]

#: Shares are rounded to so many parts where they have no end: a product of two such numbers fits into int64.
_PARTS = 2**30
_TINY = 1e-9


def whole_counts(owed: npt.NDArray[np.float64], before: npt.NDArray[np.int64], positions: int) -> npt.NDArray[np.int64]:
    """Round what each dataset is owed to whole draws, none below what it has had: by largest remainder.

    The result is within one of ``owed``, unless datasets had more before than they are owed now.

    Args:
        owed: float64 [D]: the sums of the shares, ``positions`` in sum.
        before: int64 [D]: draws that were made.
        positions: Their new sum, at least that of ``before``.

    >>> whole_counts(np.array([1.5, 0.75, 0.75]), np.array([1, 0, 0]), 3)
    array([1, 1, 1])
    """
    counts = np.maximum(np.floor(owed + _TINY).astype(np.int64), before)
    missing = positions - int(counts.sum())
    # The furthest behind get one more; where too many were given, the furthest ahead give one back.
    while missing:
        order = np.argsort(counts - owed, kind="stable")
        if missing < 0:
            order = order[::-1]
            order = order[counts[order] > before[order]]
        chosen = order[: abs(missing)]
        counts[chosen] += np.sign(missing)
        missing -= int(np.sign(missing)) * len(chosen)
    return counts


def endless(shares: Shares) -> Interleaving:
    """Spread constant shares over any number of positions; each share above 0 counts as at least 2^-30.

    Args:
        shares: float64 [D].
    """
    drawn = shares > 0
    if np.ptp(shares[drawn]) <= _TINY * shares.max():
        return Interleaving(drawn.astype(np.int64).tolist())
    parts = np.maximum(np.round(shares * _PARTS), drawn).astype(np.int64)
    # The largest takes what rounding has added, so that the sum stays below 2^30.
    parts[parts.argmax()] -= max(int(parts.sum()) - (_PARTS - 1), 0)
    return Interleaving(parts.tolist())
