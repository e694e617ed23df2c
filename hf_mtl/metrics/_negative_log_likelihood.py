"""The negative log-likelihood of what is true."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._probability_metric import ProbabilityMetric
from hf_mtl.metrics._row_statistics import RowStatistic, mean_of_rows

#: In the place of a probability of 0, whose logarithm would be infinite: 708 nats.
_LEAST = float(np.finfo(np.float64).tiny)


class NegativeLogLikelihood(ProbabilityMetric):
    r"""Mean surprise at what is true, in nats; smaller is better.

    :math:`-\frac1n \sum_i \sum_c q_{ic} \log p_{ic}` over n items, with a probability of 0 taken for 2.2e-308.

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#log-loss

    >>> NegativeLogLikelihood().compute(predictions=[[0.5, 0.5]], references=[[1, 0]])
    {'negative_log_likelihood': 0.6931471805599453}
    """

    summary_keys = ("negative_log_likelihood",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return mean_of_rows(lambda p, q: float(_surprise(p, q))) if key == "negative_log_likelihood" else None

    def _reset(self) -> None:
        self._sum = 0.0

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        predicted, true = self._columns(predictions, references)
        self._sum += float(_surprise(predicted, true))
        return len(predicted)

    def _result(self) -> dict[str, float]:
        return {"negative_log_likelihood": self._sum / self._rows}


def _surprise(predicted: Any, true: Any) -> Any:
    return -(np.asarray(true) * np.log(np.maximum(predicted, _LEAST))).sum()
