"""Rewards on one scale, whatever the losses' or scores' unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["HISTORY", "scaled"]

#: The rewards whose quantiles set the scale: the last ones.
HISTORY = 1000


def scaled(rewards: npt.NDArray[np.float64], history: Sequence[float]) -> npt.NDArray[np.float64]:
    r"""Bring rewards to [-1, 1] by the 20th and 80th percentile of all rewards so far.

    .. math:: r = \mathrm{clip}\left(2 \frac{\hat r - q_{20}}{q_{80} - q_{20}} - 1, -1, 1\right)

    Args:
        rewards: Unscaled rewards; NaN stays NaN.
        history: Unscaled rewards so far, these included: the last `HISTORY`, where the paper keeps a random sample.

    Source: A. Graves et al., Automated Curriculum Learning for Neural Networks, ICML 2017, section 3.2, equation for
    the rescaled reward.

    >>> scaled(np.array([0.0, 2.6, 9.0]), history=[0, 1, 2, 3, 4]).round(3)
    array([-1. ,  0.5,  1. ])
    """
    low, high = np.quantile(history, [0.2, 0.8]) if len(history) else (0.0, 0.0)
    if high <= low:
        # All alike: no reward is larger than another.
        return np.where(np.isnan(rewards), np.nan, 0.0)
    return np.clip(2 * (rewards - low) / (high - low) - 1, -1, 1)
