"""Whether two models differ by more than the rows and the seeds that they happened to have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from hf_mtl.metrics import bootstrap_interval

__all__ = ["paired_interval", "verdict_of"]


def paired_interval(
    together: Sequence[np.ndarray], alone: Sequence[np.ndarray], value: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Return the 95 % interval of the mean difference of scores over seeds, on the same rows drawn again and again.

    Both models of all seeds are scored on each resample of the rows, so what makes rows hard falls out.

    Args:
        together: For each seed what each row adds to the sums of the one model's score, [R, k].
        alone: The same of the other model; the rows are the same.
        value: From sums [S, k] to scores [S].

    Returns:
        The lower and the upper end.
    """
    size = together[0].shape[1]
    blocks = [slice(i * size, (i + 1) * size) for i in range(2 * len(together))]

    def difference(sums: np.ndarray) -> np.ndarray:
        scores = np.stack([value(sums[:, block]) for block in blocks])
        found: np.ndarray = scores[: len(together)].mean(0) - scores[len(together) :].mean(0)
        return found

    return bootstrap_interval(np.concatenate([*together, *alone], axis=1), difference)


def verdict_of(differences: Sequence[float], low: float, high: float, is_greater_better: bool = True) -> str:
    """Return in a word what sharing did to a task: ``"helped"``, ``"hurt"`` or ``"level"``.

    It helped or hurt where the interval over rows leaves out 0 (where there is one), and the mean difference is more
    than two standard errors over seeds (where there are several).

    Args:
        differences: For each seed the score together less the score alone.
        low: Lower end of the interval over rows; NaN: there is none.
        high: The upper end.
        is_greater_better: Whether a higher score is better.

    >>> verdict_of([0.02, 0.03, 0.02], 0.01, 0.04), verdict_of([0.06, -0.02, 0.02], 0.01, 0.04)
    ('helped', 'level')
    >>> verdict_of([-0.02], -0.04, -0.01), verdict_of([-0.02], -0.04, -0.01, is_greater_better=False)
    ('hurt', 'helped')
    """
    mean = float(np.mean(differences))
    error = float(np.std(differences, ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
    is_known = len(differences) > 1 or not math.isnan(low)
    leaves_out = math.isnan(low) or low > 0 or high < 0
    if not is_known or not leaves_out or mean == 0 or abs(mean) <= 2 * error:
        return "level"
    return "helped" if (mean > 0) == is_greater_better else "hurt"
