"""Accuracy of the tokens that were masked."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._row_statistics import RowStatistic, share_of_items
from hf_mtl_light.errors import UserError


class MaskedAccuracy(StreamingMetric):
    """Share of masked tokens that are predicted exactly.

    ``masked_accuracy = right tokens / masked tokens``, in [0, 1]; 0 where none was masked. A row is the list of its
    masked tokens' ids.

    >>> MaskedAccuracy().compute(predictions=[[5, 7], [9]], references=[[5, 8], [9]])["masked_accuracy"]
    0.6666666666666666
    """

    input_kind = "tokens"
    summary_keys = ("masked_accuracy",)

    def row_statistic(self, key: str, num_classes: int | None) -> RowStatistic | None:
        """Return what single rows add to a score: see `StreamingMetric.row_statistic`."""
        return share_of_items(int.__eq__) if key == "masked_accuracy" else None

    def _reset(self) -> None:
        self._right = self._tokens = 0

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        pair: list[list[Sequence[Any]]] = [list(rows) for rows in (predictions, references)]  # type: ignore[arg-type]  # lists
        if len(pair[0]) != len(pair[1]):
            raise UserError(
                f"Metric {self.name!r}: expected one prediction per reference, found {len(pair[0])} predictions for "
                f"{len(pair[1])} references. Pass the same rows in both."
            )
        rows = list(zip(*pair, strict=True))
        for number, (predicted, true) in enumerate(rows, start=self._rows):
            if len(predicted) != len(true):
                raise UserError(
                    f"Metric {self.name!r}, row {number}: expected one prediction per masked token, found "
                    f"{len(predicted)} for {len(true)}. Pass the same tokens in both."
                )
        self._right += sum(int(p == t) for predicted, true in rows for p, t in zip(predicted, true, strict=True))
        self._tokens += sum(len(true) for _, true in rows)
        return len(rows)

    def _result(self) -> dict[str, float]:
        return {"masked_accuracy": self._right / max(self._tokens, 1)}
