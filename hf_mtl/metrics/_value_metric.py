"""What the metrics of real numbers share: two checked float columns per batch."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._columns import paired_columns
from hf_mtl_light.errors import UserError

# Squares of these values, summed over any number of rows, stay within float64.
LARGEST = 1e100

Column = npt.NDArray[np.float64]


class ValueMetric(StreamingMetric):
    """Check pairs of numbers and pass them on as float64 columns [R]. A subclass writes ``_add_values``."""

    input_kind = "values"

    def _add_values(self, predicted: Column, true: Column) -> None:
        raise NotImplementedError

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        columns = paired_columns(predictions, references, metric=self.name, row="a number")
        if columns[0].size == 0:
            return 0
        predicted, true = (
            self._finite(values, name) for name, values in zip(("predictions", "references"), columns, strict=True)
        )
        self._add_values(predicted, true)
        return len(true)

    def _finite(self, values: npt.NDArray[Any], name: str) -> Column:
        if values.dtype.kind not in "iubf":
            raise UserError(
                f"Metric {self.name!r}: expected numbers as {name}, found data type {values.dtype}. Convert them to "
                "floats, and drop rows without a value."
            )
        doubles = values.astype(np.float64)
        # Written so that NaN, which compares false, is wrong too.
        wrong = ~(np.abs(doubles) <= LARGEST)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise UserError(
                f"Metric {self.name!r}, row {self._rows + row}: expected a finite number of at most {LARGEST:g} in "
                f"size in {name}, found {doubles[row]}. Drop rows without a value; NaN in predictions is a model that "
                "diverged."
            )
        return doubles
