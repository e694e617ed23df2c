"""Metrics of probabilities, and how they are checked."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl_light.errors import UserError

#: How far the sum of a row's probabilities may lie from 1.
_ROUNDING = 1e-3


class ProbabilityMetric(StreamingMetric):
    """Check rows of probabilities.

    A row is an item: as prediction the probability of each of its C classes, as reference the same of what is true, 1
    and zeros, or a distribution. A label that holds or not is an item of two classes.
    """

    input_kind = "probabilities"
    greater_is_better = False

    def _columns(
        self, predictions: npt.ArrayLike, references: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return both as [n, C].

        Raises:
            ValueError: If they are not distributions, or their shapes differ.
        """
        one = self._table(predictions, "predictions")
        two = self._table(references, "references")
        if one.shape != two.shape:
            raise UserError(
                f"Metric {self.name!r}: expected as many probabilities in references as in predictions, found shapes "
                f"{list(one.shape)} and {list(two.shape)}. Give class ids as rows of a 1 and zeros."
            )
        return one, two

    def _table(self, rows: Any, name: str) -> npt.NDArray[np.float64]:
        try:
            table = np.asarray(rows, dtype=np.float64)
        except (ValueError, TypeError):
            raise UserError(
                f"Metric {self.name!r}: expected {name} of shape [n, C], found rows of different lengths."
            ) from None
        if table.size == 0:
            return np.zeros((0, 0))
        if table.ndim != 2:
            raise UserError(
                f"Metric {self.name!r}: expected {name} of shape [n, C] with a probability for each class, found shape "
                f"{list(table.shape)}."
            )
        wrong = ~((table >= 0).all(-1) & (np.abs(table.sum(-1) - 1) <= _ROUNDING))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"Metric {self.name!r}, row {self._rows + row}: expected probabilities with the sum 1 as {name}, found "
                f"{table[row].tolist()}. Apply a softmax to logits."
            )
        return table
