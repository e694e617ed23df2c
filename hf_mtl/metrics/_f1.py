"""F1 of class ids, averaged over classes in three ways."""

from sklearn.metrics import f1_score

from hf_mtl.metrics._confusion import Cells, ClassMetric


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

    def _score(self, cells: Cells[int]) -> dict[str, float]:
        return {
            f"f1_{average}": float(
                f1_score(
                    cells.references, cells.predictions, average=average, sample_weight=cells.counts, zero_division=0.0
                )
            )
            for average in ("macro", "micro", "weighted")
        }
