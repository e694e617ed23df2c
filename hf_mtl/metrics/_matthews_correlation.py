"""Matthews correlation of class ids."""

import numpy as np
from sklearn.metrics import matthews_corrcoef

from hf_mtl.metrics._confusion import Cells, ClassMetric, counts_of_classes
from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, divided


class MatthewsCorrelation(ClassMetric):
    """Correlation of predicted and true classes, fair to rare classes.

    With n rows, c correct rows, t_k rows of class k and p_k predictions of it::

        (c n - sum_k t_k p_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))

    in [-1, 1]; 0 is chance. Where all references or all predictions are one class it is undefined and given as 0.0.

    Source: Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation coefficient",
    https://doi.org/10.1016/j.compbiolchem.2004.09.006

    >>> MatthewsCorrelation().compute(predictions=[0, 0, 1, 1], references=[0, 1, 1, 0])
    {'matthews_correlation': 0.0}
    """

    summary_keys = ("matthews_correlation",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return counts_of_classes(num_classes, _of_sums) if key == "matthews_correlation" else None

    def _score(self, cells: Cells[int]) -> dict[str, float]:
        if len({*cells.references, *cells.predictions}) == 1:
            # scikit-learn gives 0 too, with a warning about the shape of a confusion matrix of one class.
            return {"matthews_correlation": 0.0}
        correlation = matthews_corrcoef(cells.references, cells.predictions, sample_weight=cells.counts)
        return {"matthews_correlation": float(correlation)}


def _of_sums(sums: Numbers) -> Numbers:
    right, predicted, true = np.split(sums, 3, axis=1)
    rows = true.sum(1)
    above = right.sum(1) * rows - (predicted * true).sum(1)
    below = (rows**2 - (predicted**2).sum(1)) * (rows**2 - (true**2).sum(1))
    return divided(above, np.sqrt(np.maximum(below, 0.0)))
