"""The Brier score."""

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._probability_metric import ProbabilityMetric
from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows


class BrierScore(ProbabilityMetric):
    r"""Mean squared distance of probabilities from what is true, in [0, 2]; smaller is better.

    :math:`\frac1n \sum_i \sum_c (p_{ic} - q_{ic})^2` over n items. For two classes it is twice scikit-learn's
    ``brier_score_loss``.

    Source: G. W. Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78(1),
        1950.

    >>> BrierScore().compute(predictions=[[0.8, 0.2], [0.5, 0.5]], references=[[1, 0], [1, 0]])
    {'brier_score': 0.29}
    """

    summary_keys = ("brier_score",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return mean_of_rows(lambda p, q: float(np.square(np.subtract(p, q)).sum())) if key == "brier_score" else None

    def _reset(self) -> None:
        self._sum = 0.0

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        predicted, true = self._columns(predictions, references)
        self._sum += float(np.square(predicted - true).sum())
        return len(predicted)

    def _result(self) -> dict[str, float]:
        return {"brier_score": self._sum / self._rows}
