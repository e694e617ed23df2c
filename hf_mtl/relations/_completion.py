"""Collaborative filtering: a table of gains of which few entries are measured, completed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hf_mtl_light.errors import UserError

__all__ = ["Completion", "complete"]

_RANKS = (0, 1, 2, 3)
#: Of values whose deviation is 1.
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_SWEEPS = 30
#: Pairs that are left out one by one; of more, so many groups.
_FOLDS = 100


@dataclass(frozen=True)
class Completion:
    """A completed table, and what the completion is worth on entries that it did not see.

    Args:
        table: [T, T] float64: what was measured, and what was completed; NaN on the diagonal.
        is_measured: [T, T] bool.
        rank: The rank that was chosen, 0 to 3; 0: mean, row and column alone.
        ridge: The ridge that was chosen, for values whose deviation is 1.
        error: Root mean squared error on pairs left out, both directions together, in units of the table.
        rank_0_error: The same of rank 0 with its best ridge.
        mean_error: The same of one number in place of all, the mean of the entries that are not left out.
        is_better_than_mean: Whether the squared errors are smaller than those of the mean by more than the standard
            error of their difference.
        sign_accuracy: The part of entries left out whose sign is right, in [0, 1]; entries of 0 have none. NaN where
            all are 0.
        rank_0_sign_accuracy: The same of rank 0.
    """

    table: np.ndarray
    is_measured: np.ndarray
    rank: int
    ridge: float
    error: float
    rank_0_error: float
    mean_error: float
    is_better_than_mean: bool
    sign_accuracy: float
    rank_0_sign_accuracy: float


def complete(measured: np.ndarray, features: np.ndarray | None = None) -> Completion:
    r"""Complete a table of gains.

    .. math:: \hat G_{ij} = \mu + a_i + b_j + u_i^\top v_j

    by alternating least squares with a ridge. Rank (0 to 3) and ridge are those of the smallest squared error on
    pairs left out, one by one, or in 100 groups where there are more. Both directions of a pair are left out together,
    since one run measures both. A higher rank is taken only where its squared errors are smaller by more than the
    standard error of their difference.

    Args:
        measured: [T, T], NaN where nothing was measured; the diagonal is not read.
        features: [T, F] of each task, for tasks without a measurement: their biases and factors are read from those of
            the others by ridge regression. Without features they are zero.

    Raises:
        ValueError: If the table is not square, holds infinities or fewer than three measurements.

    Source: Y. Koren, R. Bell, C. Volinsky, Matrix Factorization Techniques for Recommender Systems, Computer 42, 2009;
    for tasks: M. Yu et al., Robust Task Clustering for Deep Many-Task Learning, arXiv 1708.07918.
    """
    values = np.array(measured, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise UserError(f"The table of gains must be square, found shape {values.shape}.")
    np.fill_diagonal(values, np.nan)
    known = ~np.isnan(values)
    if known.sum() < 3 or np.isinf(values).any():
        raise UserError(f"The table of gains needs 3 finite measurements, found {int(np.isfinite(values).sum())}.")
    entries = np.argwhere(known)
    scale = float(values[known].std()) or 1.0
    filled = np.where(known, values, 0.0) / scale
    truth = filled[known]
    _, pairs = np.unique(entries.min(1) * len(values) + entries.max(1), return_inverse=True)
    folds = (np.random.default_rng(0).permutation(pairs.max() + 1) % _FOLDS)[pairs]
    weights = np.repeat(known[None], folds.max() + 1, axis=0).astype(np.float64)
    weights[folds, entries[:, 0], entries[:, 1]] = 0.0
    best: dict[int, tuple[float, np.ndarray]] = {}
    for rank in _RANKS:
        for ridge in _RIDGES:
            found = _predicted(*_fitted(filled, weights, rank, ridge))[folds, entries[:, 0], entries[:, 1]]
            if rank not in best or ((found - truth) ** 2).mean() < ((best[rank][1] - truth) ** 2).mean():
                best[rank] = ridge, found
    squares = {rank: (found - truth) ** 2 for rank, (_, found) in best.items()}
    rank = 0
    for other in _RANKS[1:]:
        if _is_less(squares[other], squares[rank], pairs):
            rank = other
    rest, counts = truth.sum() - np.bincount(folds, truth)[folds], len(truth) - np.bincount(folds)[folds]
    mean_squares = (rest / counts - truth) ** 2
    fit = _fitted(filled, known[None].astype(np.float64), rank, best[rank][0])
    if features is not None:
        fit = _with_features(fit, known, np.asarray(features, dtype=np.float64))
    table = np.where(known, values, _predicted(*fit)[0] * scale)
    np.fill_diagonal(table, np.nan)
    has_sign = truth != 0
    signs = [
        float((np.sign(best[r][1]) == np.sign(truth))[has_sign].mean()) if has_sign.any() else math.nan
        for r in (rank, 0)
    ]
    return Completion(
        table=table,
        is_measured=known,
        rank=rank,
        ridge=best[rank][0],
        error=scale * float(squares[rank].mean() ** 0.5),
        rank_0_error=scale * float(squares[0].mean() ** 0.5),
        mean_error=scale * float(mean_squares.mean() ** 0.5),
        is_better_than_mean=_is_less(squares[rank], mean_squares, pairs),
        sign_accuracy=signs[0],
        rank_0_sign_accuracy=signs[1],
    )


def _is_less(squares: np.ndarray, others: np.ndarray, pairs: np.ndarray) -> bool:
    """Return whether squared errors [E] are less than others by more than a standard error, pair by pair."""
    gained = np.bincount(pairs, others - squares)
    return bool(gained.sum() > gained.std(ddof=1) * len(gained) ** 0.5)


_Fit = tuple[np.ndarray, np.ndarray, np.ndarray]


def _fitted(values: np.ndarray, weights: np.ndarray, rank: int, ridge: float) -> _Fit:
    """Return mean [E], and bias and factors [E, T, 1 + rank] of rows and columns, by weights [E, T, T]."""
    mean = (weights * values).sum((1, 2)) / weights.sum((1, 2))
    rest = weights * (values - mean[:, None, None])
    size = values.shape[0]
    rows = np.zeros((len(weights), size, 1 + rank))
    columns = np.zeros_like(rows)
    if rank:  # begins with the directions of what the biases leave
        left, sizes, right = np.linalg.svd(weights * (values - _predicted(*_fitted(values, weights, 0, ridge))))
        root = np.sqrt(sizes[:, None, :rank])
        rows[..., 1:] = left[..., :rank] * root
        columns[..., 1:] = right.swapaxes(1, 2)[..., :rank] * root
    for _ in range(_SWEEPS):
        rows = _solved(rest, weights, columns, ridge)
        columns = _solved(rest.swapaxes(1, 2), weights.swapaxes(1, 2), rows, ridge)
    return mean, rows, columns


def _solved(rest: np.ndarray, weights: np.ndarray, others: np.ndarray, ridge: float) -> np.ndarray:
    """Return bias and factors of one side, the other's given."""
    design = np.concatenate([np.ones_like(others[..., :1]), others[..., 1:]], axis=-1)  # [E, T, k]
    size = design.shape[-1]
    products = (design[..., :, None] * design[..., None, :]).reshape(*design.shape[:2], -1)
    squares = (weights @ products).reshape(*design.shape[:2], size, size) + ridge * np.eye(size)
    aims = (rest - weights * others[:, None, :, 0]) @ design
    found: np.ndarray = np.linalg.solve(squares, aims[..., None])[..., 0]
    return found


def _predicted(mean: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the tables [E, T, T]."""
    biases = mean[:, None, None] + rows[..., :1] + columns[..., 0][:, None, :]
    found: np.ndarray = biases + rows[..., 1:] @ columns[..., 1:].swapaxes(1, 2)
    return found


def _with_features(fit: _Fit, known: np.ndarray, features: np.ndarray) -> _Fit:
    """Return a fit in which tasks without a measurement have what tasks of like features have."""
    if features.shape[0] != known.shape[0] or not np.isfinite(features).all():
        raise UserError(f"features must be finite, one row for each of {known.shape[0]} tasks.")
    mean, *sides = fit
    found = []
    for side, has_any in zip(sides, (known.any(1), known.any(0)), strict=True):
        own = side.copy()
        if has_any.sum() > 1 and not has_any.all():
            centre, scale = features[has_any].mean(0), features[has_any].std(0)
            inputs = (features - centre) / np.where(scale > 0, scale, 1.0)
            average = side[0, has_any].mean(0)
            kernel = inputs @ inputs[has_any].T / inputs.shape[1]
            weights = np.linalg.solve(kernel[has_any] + np.eye(int(has_any.sum())), side[0, has_any] - average)
            own[0, ~has_any] = average + kernel[~has_any] @ weights
        found.append(own)
    return mean, found[0], found[1]
