"""How far scores lie from how often they are right."""

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._probability_metric import ProbabilityMetric

__all__ = ["BINS", "ExpectedCalibrationError", "calibration_bins"]

#: Bins of equal width, as in the source.
BINS = 15


def calibration_bins(
    predictions: npt.NDArray[np.float64], references: npt.NDArray[np.float64], bins: int = BINS
) -> npt.NDArray[np.float64]:
    """Return for each bin of scores its items, the sum of their scores, and how many are right: [bins, 3].

    The score of an item is its largest probability. Bins are of equal width, each without its lower end.

    Args:
        predictions: [n, C].
        references: [n, C].
        bins: The number of bins.
    """
    best = predictions.argmax(-1)[:, None]
    scores = np.take_along_axis(predictions, best, -1)[:, 0]
    right = np.take_along_axis(references, best, -1)[:, 0]
    places = np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)
    columns = (np.ones_like(scores), scores, right)
    return np.stack([np.bincount(places, weights=column, minlength=bins) for column in columns], axis=-1)


class ExpectedCalibrationError(ProbabilityMetric):
    r"""Mean distance between the score of an answer and how often answers of such a score are right, in [0, 1].

    Items are put into 15 bins of equal width by the score of their answer, their largest probability. With
    :math:`n_b` items in bin b, the mean score :math:`s_b` and the share of right answers :math:`a_b` it is
    :math:`\sum_b \frac{n_b}{n} |a_b - s_b|`; smaller is better. With few items chance alone gives some hundredths.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.

    >>> metric = ExpectedCalibrationError()
    >>> metric.compute(predictions=[[0.75, 0.25]] * 4, references=[[1, 0], [1, 0], [1, 0], [0, 1]])
    {'expected_calibration_error': 0.0}
    """

    summary_keys = ("expected_calibration_error",)

    def _reset(self) -> None:
        self._bins = np.zeros((BINS, 3))

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        predicted, true = self._columns(predictions, references)
        if len(predicted):
            self._bins = self._bins + calibration_bins(predicted, true)
        return len(predicted)

    def _result(self) -> dict[str, float]:
        error = np.abs(self._bins[:, 1] - self._bins[:, 2]).sum() / self._bins[:, 0].sum()
        return {"expected_calibration_error": float(error)}
