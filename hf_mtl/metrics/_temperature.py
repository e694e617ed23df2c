"""The temperature at which probabilities are as sure as they are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from hf_mtl_light.description import TEMPERATURES
from hf_mtl_light.errors import UserError

__all__ = ["best_temperature", "negative_log_likelihoods", "threshold_at_temperature"]

_FUNCTIONS = ("softmax", "sigmoid")


def negative_log_likelihoods(
    logits: npt.NDArray[Any], targets: npt.NDArray[Any], function: str = "softmax"
) -> npt.NDArray[np.float64]:
    """Return minus the log-probability of what is true of each item, [n], in nats.

    Args:
        logits: [n, C].
        targets: [n, C], the probability of each class: 1 of the true one, 0 of the others. Of ``"sigmoid"`` that of
            each label by itself.
        function: What makes probabilities: ``"softmax"``, or ``"sigmoid"``, where the mean over labels is taken.
    """
    losses: npt.NDArray[np.float64]
    if function == "softmax":
        losses = -(targets * log_softmax(logits, axis=-1)).sum(-1)
    else:
        losses = (targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits)).mean(-1)
    return losses


def best_temperature(logits: npt.ArrayLike, targets: npt.ArrayLike, function: str = "softmax") -> float:
    r"""Return the temperature T under which what is true is likeliest.

    It minimises the mean of :math:`-\log p_y` with :math:`p = \mathrm{softmax}(z / T)`, or with
    :math:`p_c = \sigma(z_c / T)` for labels by themselves, over [0.01, 100]. That mean is convex in 1 / T, so there is
    one minimum. Where every item is right there is none, as smaller is always better, and the temperature is 1: such
    items do not show how sure a model may be.

    Args:
        logits: [n, C].
        targets: [n] class ids, or [n, C]: see `negative_log_likelihoods`.
        function: ``"softmax"`` or ``"sigmoid"``.

    Raises:
        ValueError: If the shapes do not fit, there is no item, or a logit is not finite.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.

    >>> round(best_temperature([[4.0, 0.0]] * 4, [0, 0, 0, 1]), 2)
    3.64
    """
    table, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if function not in _FUNCTIONS:
        raise UserError(f"function must be 'softmax' or 'sigmoid', found {function!r}.")
    if table.ndim == 2 and truth.shape == table.shape[:1] and function == "softmax":
        truth = np.eye(table.shape[1])[truth.astype(np.int64)]
    if table.ndim != 2 or len(table) == 0 or truth.shape != table.shape:
        raise UserError(
            f"Expected logits [n, C] of at least one item, and class ids [n] or targets [n, C]; found shapes "
            f"{list(table.shape)} and {list(truth.shape)}."
        )
    if not np.isfinite(table).all():
        raise UserError("Expected finite logits; others are those of a model that diverged.")
    if _all_right(table, truth, function):
        return 1.0
    found = minimize_scalar(
        lambda log: negative_log_likelihoods(table / np.exp(log), truth, function).mean(),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.clip(np.exp(found.x), *TEMPERATURES))


def _all_right(table: npt.NDArray[np.float64], truth: npt.NDArray[Any], function: str) -> bool:
    if not np.isin(truth, (0, 1)).all():
        return False
    if function == "sigmoid":
        return bool(((table > 0) == (truth > 0)).all() and table.all())
    own = (table * truth).sum(-1, keepdims=True)
    return bool(((table >= own).sum(-1) == 1).all())


def threshold_at_temperature(threshold: float, ratio: float) -> float:
    """Return the threshold that decides on scores of ``sigmoid(z / ratio)`` as another does on ``sigmoid(z)``.

    >>> threshold_at_temperature(0.5, 3.0), round(threshold_at_temperature(0.9, 2.0), 6)
    (0.5, 0.75)
    """
    if ratio == 1:
        return threshold
    mapped = 1 / (1 + np.exp(-np.log(threshold / (1 - threshold)) / ratio))
    return float(np.clip(mapped, np.nextafter(0, 1), np.nextafter(1, 0)))
