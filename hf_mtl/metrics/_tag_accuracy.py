"""Accuracy and F1 of single tags, such as parts of speech."""

import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score

from hf_mtl.metrics._confusion import Cells, ConfusionMetric
from hf_mtl.metrics._row_statistics import RowStatistic, share_of_items
from hf_mtl.metrics._tag_rows import paired_tag_rows
from hf_mtl_light.errors import UserError


class TagAccuracy(ConfusionMetric[str]):
    """Share of words with the right tag, where each tag stands for itself (parts of speech, not spans).

    ``accuracy = correct words / words`` over the words of all rows together, in [0, 1]. ``f1_macro`` is the mean over
    tags of ``2 tp / (2 tp + fp + fn)``, over the tags that occur in predictions or references.

    Source: https://scikit-learn.org/stable/modules/model_evaluation.html#accuracy-score

    >>> TagAccuracy().compute(predictions=[["DET", "NOUN"], ["VERB"]], references=[["DET", "NOUN"], ["NOUN"]])
    {'accuracy': 0.6666666666666666, 'f1_macro': 0.5555555555555555}
    """

    input_kind = "tags"
    summary_keys = ("accuracy", "f1_macro")

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return share_of_items(str.__eq__) if key == "accuracy" else None

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        rows = paired_tag_rows(predictions, references, metric=self.name, first_row=self._rows)
        for predicted, true in rows:
            self._counts.update(zip(true, predicted, strict=True))
        return len(rows)

    def _score(self, cells: Cells[str]) -> dict[str, float]:
        scored = {"y_true": cells.references, "y_pred": cells.predictions, "sample_weight": cells.counts}
        return {
            "accuracy": float(accuracy_score(**scored)),
            "f1_macro": float(f1_score(**scored, average="macro", zero_division=0.0)),
        }

    def _result(self) -> dict[str, float]:
        if not self._counts:
            raise UserError(
                f"Metric {self.name!r}: expected at least one tag, found {self._rows} rows without any. Check that "
                "the words reach the metric."
            )
        return super()._result()
