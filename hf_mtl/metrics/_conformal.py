"""Sets of labels that hold the truth as often as is asked for."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hf_mtl_light.errors import UserError

__all__ = ["conformal_sets", "conformal_threshold"]


def conformal_threshold(probabilities: npt.ArrayLike, labels: npt.ArrayLike, coverage: float = 0.9) -> float:
    r"""Return the probability from which a label belongs to a row's set (split conformal prediction).

    It is the :math:`k`-th largest of the probabilities of what is true, with :math:`k = \lceil (n + 1) c \rceil`. The
    set of a further row of the same kind then holds its label with a probability of at least the coverage c, whatever
    the model is like. Of too few rows (k > n) it is 0: all labels.

    Args:
        probabilities: [n, C], of rows that the model was not trained or calibrated on.
        labels: [n] class ids.
        coverage: c, above 0 and below 1.

    Raises:
        ValueError: If the shapes do not fit, or the coverage is out of its range.

    Source: M. Sadinle et al., Least Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 114, 2019; V. Vovk
        et al., Algorithmic Learning in a Random World, 2005.

    >>> conformal_threshold([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]], [0, 0, 1, 0], coverage=0.6)
    0.6
    """
    table, true = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or true.shape != table.shape[:1]:
        raise UserError(
            f"Expected probabilities [n, C] and class ids [n], found shapes {list(table.shape)} and {list(true.shape)}."
        )
    if not 0 < coverage < 1:
        raise UserError(f"coverage must lie above 0 and below 1, found {coverage!r}.")
    rank = math.ceil((len(true) + 1) * coverage)
    if rank > len(true):
        return 0.0
    return float(np.sort(table[np.arange(len(true)), true.astype(np.int64)])[::-1][rank - 1])


def conformal_sets(probabilities: npt.ArrayLike, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which labels belong to each row's set, [n, C]; a set may be empty.

    Args:
        probabilities: [n, C].
        threshold: What `conformal_threshold` returned.

    >>> conformal_sets([[0.7, 0.3], [0.5, 0.5]], 0.5).tolist()
    [[True, False], [True, True]]
    """
    sets: npt.NDArray[np.bool_] = np.asarray(probabilities, dtype=np.float64) >= threshold
    return sets
