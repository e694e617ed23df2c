"""F1 of rows that carry any number of labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, columns, f1_of_sums, mean_of_rows
from hf_mtl_light.errors import UserError


class MultilabelF1(StreamingMetric):
    """Balance of precision and recall where a row may have no label, one or several.

    Predictions and references are [R, C] of 0 and 1 (integers, booleans or floats). Per class,
    ``f1 = 2 tp / (2 tp + fp + fn)``, and 0 where a class occurs on neither side. ``f1_macro`` is the mean over all C
    classes, ``f1_micro`` the f1 of the summed counts, ``subset_accuracy`` the share of rows with all C flags right; all
    in [0, 1]. The state is three counts per class and two numbers.

    Source: https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html

    >>> MultilabelF1().compute(predictions=[[1, 0], [0, 0]], references=[[1, 0], [1, 1]])
    {'f1_micro': 0.5, 'f1_macro': 0.3333333333333333, 'subset_accuracy': 0.5}
    """

    input_kind = "multilabel"
    summary_keys = ("f1_micro", "f1_macro", "subset_accuracy")
    headline_keys = ("f1_macro",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        if key == "subset_accuracy":
            return mean_of_rows(lambda p, r: bool(np.array_equal(p, r)))
        return RowStatistic(_flags, f1_of_sums) if key == "f1_micro" else None

    def _reset(self) -> None:
        # Rows are true positives, false positives, false negatives: int64 [3, C]. None until C is known.
        self._counts: npt.NDArray[np.int64] | None = None
        self._exact = 0

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        predicted, true = self._flags(predictions, "predictions"), self._flags(references, "references")
        if predicted.shape != true.shape:
            raise UserError(
                f"Metric {self.name!r}: expected predictions and references of one shape [R, C], found "
                f"{list(predicted.shape)} and {list(true.shape)}. Pass the same rows and classes in both."
            )
        if len(true) == 0:
            return 0
        counts = np.stack([side.sum(axis=0) for side in (predicted & true, predicted & ~true, ~predicted & true)])
        if self._counts is not None and self._counts.shape != counts.shape:
            raise UserError(
                f"Metric {self.name!r}: expected {self._counts.shape[1]} classes as in the batches before, found "
                f"{counts.shape[1]}. Call compute before scoring another task."
            )
        self._counts = counts if self._counts is None else self._counts + counts
        self._exact += int((predicted == true).all(axis=1).sum())
        return len(true)

    def _result(self) -> dict[str, float]:
        assert self._counts is not None  # compute has seen rows
        true_positives, false_positives, false_negatives = self._counts
        doubled, total = 2 * true_positives, 2 * true_positives + false_positives + false_negatives
        return {
            "f1_micro": float(doubled.sum() / max(total.sum(), 1)),
            "f1_macro": float(np.mean(doubled / np.maximum(total, 1))),
            "subset_accuracy": self._exact / self._rows,
        }

    def _flags(self, rows: npt.ArrayLike, name: str) -> npt.NDArray[np.bool_]:
        try:
            flags: npt.NDArray[Any] = np.asarray(rows)
        except ValueError:
            raise UserError(
                f"Metric {self.name!r}: expected {name} of shape [R, C], found rows of different lengths. Give every "
                "row one flag of 0 or 1 per class."
            ) from None
        if flags.size == 0 and len(flags) == 0:
            return np.zeros((0, 0), dtype=np.bool_)
        if flags.ndim != 2 or flags.shape[1] == 0:
            raise UserError(
                f"Metric {self.name!r}: expected {name} of shape [R, C], found {list(flags.shape)}. Give every row one "
                "flag of 0 or 1 per class; class ids belong to 'accuracy' or 'f1'."
            )
        wrong = ~np.isin(flags, (0, 1))
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise UserError(
                f"Metric {self.name!r}, row {self._rows + row}, class {column}: expected 0 or 1 in {name}, found "
                f"{flags[row, column]}. Compare scores with the decision threshold first."
            )
        return flags.astype(np.bool_)


def _flags(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
    predicted, true = np.asarray(predictions, dtype=bool), np.asarray(references, dtype=bool)
    return columns((predicted & true).sum(1), predicted.sum(1), true.sum(1))
