"""What a single row adds to a score: for scores that are functions of sums over rows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Numbers", "RowStatistic", "columns", "divided", "f1_of_sums", "mean_of_rows", "ratio", "share_of_items"]

Numbers = npt.NDArray[np.float64]


class RowStatistic(NamedTuple):
    """A score as a function of sums over rows.

    Args:
        rows: From R predictions and R references, as the metrics take them, to what each row adds: [R, k].
        value: From sums [S, k] to scores [S].

    >>> from hf_mtl.metrics import Seqeval
    >>> spans = Seqeval().row_statistic("f1", None)
    >>> spans.rows([["B-x", "O"]], [["B-x", "B-x"]]).tolist()
    [[1.0, 1.0, 2.0]]
    >>> spans.value(np.array([[1.0, 1.0, 2.0]])).round(3).tolist()
    [0.667]
    """

    rows: Callable[[Sequence[Any], Sequence[Any]], Numbers]
    value: Callable[[Numbers], Numbers]


def columns(*values: Any) -> Numbers:
    """Return columns [R] as one array [R, k]."""
    return np.stack([np.asarray(column, dtype=np.float64) for column in values], axis=1)


def divided(above: Numbers, below: Numbers) -> Numbers:
    """Divide; 0 where there is nothing below the line, as the metrics have it."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def ratio(sums: Numbers) -> Numbers:
    """Return the first sum divided by the second."""
    return divided(sums[:, 0], sums[:, 1])


def f1_of_sums(sums: Numbers) -> Numbers:
    """Return F1 of three sums: right, predicted, true."""
    return divided(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def mean_of_rows(score: Callable[[Any, Any], float]) -> RowStatistic:
    """Return the statistic of a score that is the mean of a score of each row."""

    def rows(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
        scores = [score(p, r) for p, r in zip(predictions, references, strict=True)]
        return columns(scores, np.ones(len(scores)))

    return RowStatistic(rows, ratio)


def share_of_items(equal: Callable[[Any, Any], bool]) -> RowStatistic:
    """Return the statistic of a score that is the share of items that are right, over rows that are lists of items."""

    def rows(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
        pairs = list(zip(predictions, references, strict=True))
        return columns([sum(map(equal, p, r)) for p, r in pairs], [len(r) for _, r in pairs])

    return RowStatistic(rows, ratio)
