"""How far a score could lie off for want of rows: the bootstrap, over rows."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hf_mtl_light.errors import UserError

__all__ = ["bootstrap_interval"]

#: Cells of the matrix of counts that are drawn at once.
_CELLS = 4_000_000


def bootstrap_interval(
    rows: npt.NDArray[np.float64],
    value: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    r"""Return the percentile interval of a score that is a function of sums over rows.

    R rows are drawn with replacement from these R; the score of each resample is computed from its sums;
    the interval holds the middle ``level`` of these scores. Rows, not tokens or spans, are what was drawn when the data
    were collected, so a sentence's spans stay together. Rows that are alike are drawn as one kind, by its number:
    :math:`n \sim \text{Multinomial}(R, m / R)` for kinds of :math:`m` rows each is the same draw, and cheap.

    Args:
        rows: [R, k], what each row adds to the k sums.
        value: From sums [S, k] of S resamples to their scores [S].
        resamples: S.
        level: In (0, 1).
        seed: The same seed gives the same interval.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: If there are no rows.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    >>> right = np.array([[1.0, 1.0]] * 90 + [[0.0, 1.0]] * 10)
    >>> low, high = bootstrap_interval(right, lambda sums: sums[:, 0] / sums[:, 1])
    >>> bool(0.82 < low < 0.86) and bool(0.94 < high < 0.97)
    True
    """
    if len(rows) == 0:
        raise UserError("An interval needs at least one row.")
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    scores = []
    step = max(1, _CELLS // len(kinds))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = generator.multinomial(len(rows), counts / len(rows), size=size)
        scores.append(value(drawn @ kinds))
    low, high = np.quantile(np.concatenate(scores), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
