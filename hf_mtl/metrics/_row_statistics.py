"""What a single row adds to a score: for scores that are functions of sums over rows."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import InputKind
from hf_mtl.metrics._spans import lenient_spans
from hf_mtl.metrics._squad import squad_scores

__all__ = ["RowStatistic", "row_statistic"]

#: Of more classes, three numbers a class for every row would fill the memory.
_MOST_CLASSES = 64

Numbers = npt.NDArray[np.float64]


class RowStatistic(NamedTuple):
    """A score as a function of sums over rows.

    Args:
        rows: From R predictions and R references, as the metrics take them, to what each row adds: [R, k].
        value: From sums [S, k] to scores [S].
    """

    rows: Callable[[Sequence[Any], Sequence[Any]], Numbers]
    value: Callable[[Numbers], Numbers]


def row_statistic(kind: InputKind, key: str, classes: int) -> RowStatistic | None:
    """Return the statistic behind a metric's key, ``None`` if the score is no function of sums.

    Args:
        kind: What a row is: see `StreamingMetric`.
        key: The key of the score, such as ``"accuracy"`` or ``"f1_macro"``.
        classes: C, for scores of classes.

    >>> spans = row_statistic("tags", "f1", 2)
    >>> spans.rows([["B-x", "O"]], [["B-x", "B-x"]]).tolist()
    [[1.0, 1.0, 2.0]]
    >>> spans.value(np.array([[1.0, 1.0, 2.0]])).round(3).tolist()
    [0.667]
    """
    if kind == "classes" and key in ("f1_macro", "f1_weighted", "matthews_correlation"):
        if classes > _MOST_CLASSES:
            return None
        # Three counts a class: right, predicted, true. Those are all that these scores need.
        counted = _one_hot_counts(classes)
        return RowStatistic(counted, {"f1_macro": _f1_macro, "f1_weighted": _f1_weighted}.get(key, _matthews))
    return {
        ("classes", "accuracy"): RowStatistic(_right, _ratio),
        ("classes", "f1_micro"): RowStatistic(_right, _ratio),
        ("tags", "accuracy"): RowStatistic(_right_tags, _ratio),
        ("tags", "f1"): RowStatistic(_spans, _f1),
        ("tokens", "masked_accuracy"): RowStatistic(_right_tokens, _ratio),
        ("multilabel", "f1_micro"): RowStatistic(_flags, _f1),
        ("answers", "exact_match"): RowStatistic(_exact, _ratio),
        ("answers", "f1"): RowStatistic(_answer_f1, _ratio),
        ("values", "pearson"): RowStatistic(_moments, _pearson),
        ("values", "mean_absolute_error"): RowStatistic(_absolute, _ratio),
        ("values", "mean_squared_error"): RowStatistic(_squared, _ratio),
    }.get((kind, key))


def _columns(*columns: Any) -> Numbers:
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _right(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    right = np.asarray(predictions) == np.asarray(references)
    return _columns(right, np.ones(len(right)))


def _right_tags(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    pairs = list(zip(predictions, references, strict=True))
    return _columns([sum(map(str.__eq__, p, r)) for p, r in pairs], [len(r) for _, r in pairs])


def _right_tokens(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    pairs = list(zip(predictions, references, strict=True))
    return _columns([sum(map(int.__eq__, p, r)) for p, r in pairs], [len(r) for _, r in pairs])


def _spans(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    pairs = [(lenient_spans(p), lenient_spans(r)) for p, r in zip(predictions, references, strict=True)]
    return _columns([len(p & r) for p, r in pairs], [len(p) for p, _ in pairs], [len(r) for _, r in pairs])


def _exact(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    scores = [squad_scores(p, r)[0] for p, r in zip(predictions, references, strict=True)]
    return _columns(scores, np.ones(len(scores)))


def _answer_f1(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    scores = [squad_scores(p, r)[1] for p, r in zip(predictions, references, strict=True)]
    return _columns(scores, np.ones(len(scores)))


def _flags(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    predicted, true = np.asarray(predictions, dtype=bool), np.asarray(references, dtype=bool)
    return _columns((predicted & true).sum(1), predicted.sum(1), true.sum(1))


def _one_hot_counts(classes: int) -> Callable[[Sequence[Any], Sequence[Any]], Numbers]:
    def counted(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
        one_hot = np.eye(classes)
        predicted, true = one_hot[np.asarray(predictions, dtype=int)], one_hot[np.asarray(references, dtype=int)]
        return np.concatenate([predicted * true, predicted, true], axis=1)

    return counted


def _moments(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    x, y = np.asarray(predictions, dtype=np.float64), np.asarray(references, dtype=np.float64)
    return _columns(np.ones(len(x)), x, y, x * x, y * y, x * y)


def _absolute(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    error = np.abs(np.asarray(predictions, dtype=np.float64) - np.asarray(references, dtype=np.float64))
    return _columns(error, np.ones(len(error)))


def _squared(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    error = np.asarray(predictions, dtype=np.float64) - np.asarray(references, dtype=np.float64)
    return _columns(error * error, np.ones(len(error)))


def _divided(above: Numbers, below: Numbers) -> Numbers:
    """Divide; 0 where there is nothing below the line, as the metrics have it."""
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _ratio(sums: Numbers) -> Numbers:
    return _divided(sums[:, 0], sums[:, 1])


def _f1(sums: Numbers) -> Numbers:
    return _divided(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _f1_by_class(sums: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return [S, C]: F1, predicted rows and true rows of each class."""
    right, predicted, true = np.split(sums, 3, axis=1)
    return _divided(2 * right, predicted + true), predicted, true


def _f1_macro(sums: Numbers) -> Numbers:
    f1, predicted, true = _f1_by_class(sums)
    occurs = predicted + true > 0
    return _divided((f1 * occurs).sum(1), occurs.sum(1).astype(np.float64))


def _f1_weighted(sums: Numbers) -> Numbers:
    f1, _, true = _f1_by_class(sums)
    return _divided((f1 * true).sum(1), true.sum(1))


def _matthews(sums: Numbers) -> Numbers:
    right, predicted, true = np.split(sums, 3, axis=1)
    rows = true.sum(1)
    above = right.sum(1) * rows - (predicted * true).sum(1)
    below = (rows**2 - (predicted**2).sum(1)) * (rows**2 - (true**2).sum(1))
    return _divided(above, np.sqrt(np.maximum(below, 0.0)))


def _pearson(sums: Numbers) -> Numbers:
    n, x, y, xx, yy, xy = sums.T
    below = np.sqrt(np.maximum(n * xx - x * x, 0.0) * np.maximum(n * yy - y * y, 0.0))
    return _divided(n * xy - x * y, below)
