"""The score from which a label is best given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hf_mtl_light.errors import UserError

__all__ = ["DEFAULT_THRESHOLD", "best_threshold", "best_thresholds"]

DEFAULT_THRESHOLD = 0.5


def best_threshold(scores: npt.ArrayLike, flags: npt.ArrayLike) -> float:
    """Return the threshold t with the highest F1 of ``score >= t``.

    F1 changes only where t passes a score, so it is known for every t from one pass over the scores in order. The
    threshold lies midway between two neighbouring scores (0 and 1 are their outer neighbours); of several that are
    equally good it is the one nearest to 0.5, and of two as near the higher. Without a positive there is no F1 to
    raise, and it is 0.5.

    Args:
        scores: [n] in [0, 1].
        flags: [n], nonzero where the label holds.

    Returns:
        A number above 0 and below 1.

    Raises:
        ValueError: If the two are not columns of one length, or a score is outside of [0, 1].

    Source: Z. Lipton, C. Elkan, B. Naryanaswamy, Optimal Thresholding of Classifiers to Maximize F1 Measure, ECML 2014.

    >>> best_threshold([0.9, 0.4, 0.3, 0.1], [1, 0, 1, 0])
    0.2
    """
    column, holds = np.asarray(scores, dtype=np.float64), np.asarray(flags).astype(bool)
    if column.ndim != 1 or column.shape != holds.shape:
        raise UserError(
            f"Expected scores and flags as two columns of one length, found shapes {list(column.shape)} and "
            f"{list(holds.shape)}."
        )
    if not ((column >= 0) & (column <= 1)).all():  # written so that NaN is wrong, too
        raise UserError("Expected scores in [0, 1]; NaN is a model that diverged.")
    positives = int(holds.sum())
    if positives == 0:
        return DEFAULT_THRESHOLD
    order = np.argsort(-column, kind="stable")
    column = column[order]
    right = np.cumsum(holds[order])
    f1 = 2 * right / (np.arange(1, len(column) + 1) + positives)
    # Cut k gives the label to rows 0 to k: all of a tie, or none.
    below = np.append(column[1:], 0.0)
    middle = (column + below) / 2
    middle = np.where(middle > below, middle, column)  # of neighbouring floats the middle may be the lower
    possible = (below < column) & (middle < 1)
    if not possible.any() or f1[possible].max() == 0:
        return DEFAULT_THRESHOLD
    best = middle[possible & (f1 == f1[possible].max())]
    return float(best[np.argmin(np.abs(best - DEFAULT_THRESHOLD))])


def best_thresholds(scores: npt.ArrayLike, flags: npt.ArrayLike, how: str = "per-label") -> float | list[float]:
    """Return the thresholds of a multi-label task: of each label the best for its F1, or one for all by micro F1.

    The thresholds of the labels by themselves are those with the highest macro F1. Micro F1 over all labels is the F1
    of all decisions together, so its threshold is found in the same way.

    Args:
        scores: [R, C] in [0, 1].
        flags: [R, C], nonzero where a label holds.
        how: ``"per-label"`` or ``"global"``.

    Raises:
        ValueError: If ``how`` is neither, or a score is outside of [0, 1].

    >>> best_thresholds([[0.9, 0.2], [0.6, 0.4]], [[1, 0], [0, 1]])
    [0.75, 0.30000000000000004]
    >>> best_thresholds([[0.9, 0.2], [0.6, 0.4]], [[1, 0], [0, 1]], "global")
    0.30000000000000004
    """
    if how not in ("per-label", "global"):
        raise UserError(f"how must be 'per-label' or 'global', found {how!r}.")
    table, holds = np.asarray(scores), np.asarray(flags)
    if how == "global":
        return best_threshold(table.ravel(), holds.ravel())
    return [best_threshold(column, flag) for column, flag in zip(table.T, holds.T, strict=True)]
