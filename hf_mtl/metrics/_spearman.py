"""Spearman rank correlation of real numbers."""

from array import array

import numpy as np
from scipy.stats import spearmanr

from hf_mtl.metrics._value_metric import Column, ValueMetric


class Spearman(ValueMetric):
    """Correlation of the ranks of predictions and references.

    The `Pearson` correlation of the ranks, ties sharing their mean rank; in [-1, 1].

    A rank depends on all other values, so this metric keeps both columns: 16 bytes a row. Where one side is constant
    ranks do not order anything; NaN would mislead a model selector, so the score is given as 0.0.

    Source: https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.spearmanr.html

    >>> scores = Spearman().compute(predictions=[1.0, 2.0, 30.0], references=[1.0, 2.0, 3.0])
    >>> round(scores["spearman"], 6)
    1.0
    """

    summary_keys = ("spearman",)
    detail_keys = summary_keys

    def _reset(self) -> None:
        self._predicted, self._true = array("d"), array("d")

    def _add_values(self, predicted: Column, true: Column) -> None:
        self._predicted.frombytes(predicted.tobytes())
        self._true.frombytes(true.tobytes())

    def _result(self) -> dict[str, float]:
        predicted, true = np.array(self._predicted), np.array(self._true)
        if predicted.min() == predicted.max() or true.min() == true.max():
            return {"spearman": 0.0}
        # Rounding can leave a perfect correlation one unit in the last place above 1.
        return {"spearman": min(1.0, max(-1.0, float(spearmanr(predicted, true).statistic)))}
