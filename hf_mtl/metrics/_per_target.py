"""A metric of single numbers for rows of several: each target by itself, and the mean over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import evaluate
import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._row_statistics import RowStatistic
from hf_mtl_light.errors import UserError

__all__ = ["PerTarget", "per_target_statistic"]


class PerTarget(StreamingMetric):
    """Score each target of rows of C numbers by a separate metric.

    A null reference is passed over. A result's key is the mean over the targets that have a reference; each target's
    own result is stored under the target's name.

    Args:
        make: Makes a metric of single numbers.
        targets: Names of the C targets.
        keep_in_memory: See `StreamingMetric`.

    >>> from hf_mtl.metrics import MeanAbsoluteError
    >>> metric = PerTarget(MeanAbsoluteError, ["valence", "arousal"])
    >>> metric.compute(predictions=[[1.0, 2.0], [3.0, 9.0]], references=[[1.0, 4.0], [4.0, None]])
    {'mean_absolute_error': 1.25, 'valence': {'mean_absolute_error': 0.5}, 'arousal': {'mean_absolute_error': 2.0}}
    """

    input_kind = "targets"

    def __init__(
        self, make: Callable[[], evaluate.Metric], targets: Sequence[str], *, keep_in_memory: bool = True
    ) -> None:
        self.targets = tuple(targets)
        self.metrics = [make() for _ in self.targets]
        self._means: tuple[str, ...] = ()
        super().__init__(keep_in_memory=keep_in_memory)

    @property
    def summary_keys(self) -> tuple[str, ...]:  # type: ignore[override]  # of a class a constant, here of the metrics
        """The keys of the means that were computed last."""
        return self._means

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to the mean over targets: see `StreamingMetric.row_statistic`."""
        metric = self.metrics[0]
        statistic = metric.row_statistic(key, None) if isinstance(metric, StreamingMetric) else None
        return None if statistic is None else per_target_statistic(statistic, len(self.targets))

    def _reset(self) -> None:
        self._seen = [False] * len(self.targets)

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        predicted, true = (self._table(rows) for rows in (predictions, references))
        if len(predicted) != len(true):
            raise UserError(
                f"Metric {self.name!r}: expected one row of predictions per row of references, found {len(predicted)} "
                f"for {len(true)}."
            )
        there = ~np.isnan(true)
        for target, metric in enumerate(self.metrics):
            rows = there[:, target]
            if rows.any():
                metric.add_batch(predictions=predicted[rows, target], references=true[rows, target])
                self._seen[target] = True
        return len(true)

    def _table(self, rows: Any) -> npt.NDArray[np.float64]:
        # Null becomes NaN.
        table = np.array(rows if len(rows) else np.zeros((0, len(self.targets))), dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.targets):
            raise UserError(
                f"Metric {self.name!r}: expected rows of {len(self.targets)} numbers, found shape {list(table.shape)}."
            )
        return table

    def _result(self) -> dict[str, Any]:
        found: dict[str, dict[str, float]] = {
            name: metric.compute()
            for name, metric, seen in zip(self.targets, self.metrics, self._seen, strict=True)
            if seen
        }
        if not found:
            raise UserError(f"Metric {self.name!r}: all references are null, so there is nothing to score.")
        self._means = tuple(next(iter(found.values())))
        return {**{key: float(np.mean([result[key] for result in found.values()])) for key in self._means}, **found}


def per_target_statistic(statistic: RowStatistic, targets: int) -> RowStatistic:
    """Return the statistic of the mean over targets of a score that is a function of sums over rows.

    Args:
        statistic: That of a single target.
        targets: C.
    """

    def rows(predictions: Sequence[Any], references: Sequence[Any]) -> npt.NDArray[np.float64]:
        predicted, true = np.array(predictions, dtype=np.float64), np.array(references, dtype=np.float64)
        columns = []
        for target in range(targets):
            there = ~np.isnan(true[:, target])
            added = statistic.rows(predicted[:, target], np.where(there, true[:, target], 0.0))  # type: ignore[arg-type]
            columns.append(added * there[:, None])
        # What each target has in rows with a number, and whether there is one: a target without any is left out.
        return np.concatenate([*columns, ~np.isnan(true)], axis=1)

    def value(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        *columns, there = np.split(
            sums, [*(np.arange(1, targets + 1) * ((sums.shape[1] - targets) // targets))], axis=1
        )
        seen = there > 0
        scores = np.stack([statistic.value(column) for column in columns], axis=1)
        mean: npt.NDArray[np.float64] = (scores * seen).sum(1) / np.maximum(seen.sum(1), 1)
        return mean

    return RowStatistic(rows, value)
