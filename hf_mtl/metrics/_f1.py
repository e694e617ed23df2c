"""F1 of class ids, averaged over classes in three ways."""

import numpy as np
from sklearn.metrics import f1_score

from hf_mtl.metrics._confusion import Cells, ClassMetric, counts_of_classes, f1_by_class
from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, divided, mean_of_rows


class F1(ClassMetric):
    """Balance of precision and recall, averaged over the classes.

    Per class, ``f1 = 2 tp / (2 tp + fp + fn)``, in [0, 1]. ``f1_macro`` is the mean over classes, ``f1_weighted`` the
    mean weighted by rows per reference class, ``f1_micro`` the f1 of the summed counts, which for one class per row is
    accuracy. The classes are those that occur in predictions or references, as in scikit-learn; a class that is never
    predicted counts as 0.

    Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html

    >>> F1().compute(predictions=[0, 1, 1, 1], references=[0, 0, 0, 1])
    {'f1_macro': 0.5, 'f1_micro': 0.5, 'f1_weighted': 0.5}
    """

    summary_keys = ("f1_macro", "f1_micro", "f1_weighted")
    headline_keys = ("f1_macro",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        if key == "f1_micro":  # for one class per row the accuracy
            return mean_of_rows(lambda p, r: p == r)
        value = {"f1_macro": _macro, "f1_weighted": _weighted}.get(key)
        return None if value is None else counts_of_classes(num_classes, value)

    def _score(self, cells: Cells[int]) -> dict[str, float]:
        return {
            f"f1_{average}": float(
                f1_score(
                    cells.references, cells.predictions, average=average, sample_weight=cells.counts, zero_division=0.0
                )
            )
            for average in ("macro", "micro", "weighted")
        }


def _macro(sums: Numbers) -> Numbers:
    f1, predicted, true = f1_by_class(sums)
    occurs = predicted + true > 0
    return divided((f1 * occurs).sum(1), occurs.sum(1).astype(np.float64))


def _weighted(sums: Numbers) -> Numbers:
    f1, _, true = f1_by_class(sums)
    return divided((f1 * true).sum(1), true.sum(1))
