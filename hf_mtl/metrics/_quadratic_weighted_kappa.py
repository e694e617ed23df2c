"""Quadratic weighted kappa of ordered classes."""

from sklearn.metrics import cohen_kappa_score

from hf_mtl.metrics._confusion import Cells, ClassMetric


class QuadraticWeightedKappa(ClassMetric):
    """Agreement on an ordered scale beyond chance, far misses costing more than near ones.

    The class id is the position on the scale. With O_ij the rows of true class i predicted as j, and E_ij their number
    if both sides were independent::

        1 - sum_ij (i - j)^2 O_ij / sum_ij (i - j)^2 E_ij

    at most 1; 0 is chance. A position that occurs nowhere still separates its neighbours: 0 and 2 are two steps apart.
    Where one single class is the only reference and the only prediction the ratio is 0 / 0; all rows agree then, and
    the score is given as 1.0. (One class in the references and another in the predictions is defined: 0.0.)

    Source: Cohen (1968), "Weighted kappa", https://doi.org/10.1037/h0026256

    >>> QuadraticWeightedKappa().compute(predictions=[0, 1, 2, 3], references=[0, 1, 3, 2])
    {'quadratic_weighted_kappa': 0.8}
    """

    summary_keys = ("quadratic_weighted_kappa",)

    def _score(self, cells: Cells[int]) -> dict[str, float]:
        ids = {*cells.references, *cells.predictions}
        if len(ids) == 1:
            return {"quadratic_weighted_kappa": 1.0}
        # Without labels, scikit-learn closes the gaps between the positions that occur.
        scale = list(range(min(ids), max(ids) + 1))
        kappa = cohen_kappa_score(
            cells.references, cells.predictions, labels=scale, weights="quadratic", sample_weight=cells.counts
        )
        return {"quadratic_weighted_kappa": float(kappa)}
