"""Mean squared error of real numbers."""

from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows
from hf_mtl.metrics._value_metric import Column, ValueMetric


class MeanSquaredError(ValueMetric):
    """Mean squared distance between prediction and reference; smaller is better.

    ``mean (prediction - reference)^2``, in the squared unit of the references, at least 0.

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#mean-squared-error

    >>> MeanSquaredError().compute(predictions=[1.0, 2.0], references=[1.0, 5.0])
    {'mean_squared_error': 4.5}
    """

    greater_is_better = False

    summary_keys = ("mean_squared_error",)
    detail_keys = summary_keys

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return mean_of_rows(lambda p, r: (p - r) ** 2) if key == "mean_squared_error" else None

    def _reset(self) -> None:
        self._total = 0.0

    def _add_values(self, predicted: Column, true: Column) -> None:
        difference = predicted - true
        self._total += float(difference @ difference)

    def _result(self) -> dict[str, float]:
        return {"mean_squared_error": self._total / self._rows}
