"""Pearson correlation of real numbers, in one pass."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, columns, divided
from hf_mtl.metrics._value_metric import Column, ValueMetric


class _Moments(NamedTuple):
    """Rows, means, sums of squared deviations and of their products, and the range of each side."""

    rows: int
    mean_x: float
    mean_y: float
    squares_x: float
    squares_y: float
    products: float
    range_x: tuple[float, float]
    range_y: tuple[float, float]


class Pearson(ValueMetric):
    """Linear correlation of predictions x and references y.

    ``pearson = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)``, in [-1, 1].

    The sums of each batch are merged with those before it, which is as stable as two passes over all rows; no row is
    kept. Where one side is constant (or varies by less than about 1e-150, where squares vanish) correlation is
    undefined; NaN would mislead a model selector, so it is given as 0.0.

    Source: Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance",
    https://doi.org/10.1080/00031305.1983.10483115

    >>> scores = Pearson().compute(predictions=[1.0, 2.0, 3.0], references=[3.0, 1.0, 2.0])
    >>> round(scores["pearson"], 6)
    -0.5
    """

    summary_keys = ("pearson",)
    detail_keys = summary_keys

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return RowStatistic(_moments_of_rows, _of_sums) if key == "pearson" else None

    def _reset(self) -> None:
        self._moments: _Moments | None = None

    def _add_values(self, predicted: Column, true: Column) -> None:
        batch = _moments_of(predicted, true)
        self._moments = batch if self._moments is None else _merge(self._moments, batch)

    def _result(self) -> dict[str, float]:
        moments = self._moments
        assert moments is not None  # compute has seen rows
        # The range finds a constant exactly; the sum of squares of a constant may be rounding noise above 0.
        constant = moments.range_x[0] == moments.range_x[1] or moments.range_y[0] == moments.range_y[1]
        scale = math.sqrt(moments.squares_x) * math.sqrt(moments.squares_y)
        if constant or scale == 0.0:
            return {"pearson": 0.0}
        return {"pearson": float(min(1.0, max(-1.0, moments.products / scale)))}


def _moments_of(x: Column, y: Column) -> _Moments:
    mean_x, mean_y = float(x.mean()), float(y.mean())
    deviation_x, deviation_y = x - mean_x, y - mean_y
    return _Moments(
        rows=len(x),
        mean_x=mean_x,
        mean_y=mean_y,
        squares_x=float(deviation_x @ deviation_x),
        squares_y=float(deviation_y @ deviation_y),
        products=float(deviation_x @ deviation_y),
        range_x=(float(np.min(x)), float(np.max(x))),
        range_y=(float(np.min(y)), float(np.max(y))),
    )


def _merge(a: _Moments, b: _Moments) -> _Moments:
    rows = a.rows + b.rows
    shift_x, shift_y = b.mean_x - a.mean_x, b.mean_y - a.mean_y
    weight = a.rows * b.rows / rows
    return _Moments(
        rows=rows,
        mean_x=a.mean_x + shift_x * b.rows / rows,
        mean_y=a.mean_y + shift_y * b.rows / rows,
        squares_x=a.squares_x + b.squares_x + shift_x * shift_x * weight,
        squares_y=a.squares_y + b.squares_y + shift_y * shift_y * weight,
        products=a.products + b.products + shift_x * shift_y * weight,
        range_x=(min(a.range_x[0], b.range_x[0]), max(a.range_x[1], b.range_x[1])),
        range_y=(min(a.range_y[0], b.range_y[0]), max(a.range_y[1], b.range_y[1])),
    )


def _moments_of_rows(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    x, y = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    return columns(np.ones(len(x)), x, y, x * x, y * y, x * y)


def _of_sums(sums: Numbers) -> Numbers:
    n, x, y, xx, yy, xy = sums.T
    below = np.sqrt(np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0))
    return divided(n * xy - x * y, below)
