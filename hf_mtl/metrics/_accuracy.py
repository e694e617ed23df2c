"""Accuracy of class ids."""

from sklearn.metrics import accuracy_score

from hf_mtl.metrics._confusion import Cells, ClassMetric
from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows


class Accuracy(ClassMetric):
    """Share of rows whose class is predicted exactly.

    ``accuracy = correct rows / rows``, in [0, 1].

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#accuracy-score

    >>> Accuracy().compute(predictions=[0, 1, 2, 2], references=[0, 1, 2, 0])
    {'accuracy': 0.75}
    """

    summary_keys = ("accuracy",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return mean_of_rows(lambda p, r: p == r) if key == "accuracy" else None

    def _score(self, cells: Cells[int]) -> dict[str, float]:
        accuracy = accuracy_score(cells.references, cells.predictions, sample_weight=cells.counts)
        return {"accuracy": float(accuracy)}
