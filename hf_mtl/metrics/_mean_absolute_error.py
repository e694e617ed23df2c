"""Mean absolute error of real numbers."""

import numpy as np

from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows
from hf_mtl.metrics._value_metric import Column, ValueMetric


class MeanAbsoluteError(ValueMetric):
    """Mean distance between prediction and reference; smaller is better.

    ``mean |prediction - reference|``, in the unit of the references, at least 0.

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#mean-absolute-error

    >>> MeanAbsoluteError().compute(predictions=[1.0, 2.0], references=[1.0, 5.0])
    {'mean_absolute_error': 1.5}
    """

    greater_is_better = False

    summary_keys = ("mean_absolute_error",)
    detail_keys = summary_keys

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return mean_of_rows(lambda p, r: abs(p - r)) if key == "mean_absolute_error" else None

    def _reset(self) -> None:
        self._total = 0.0

    def _add_values(self, predicted: Column, true: Column) -> None:
        self._total += float(np.abs(predicted - true).sum())

    def _result(self) -> dict[str, float]:
        return {"mean_absolute_error": self._total / self._rows}
