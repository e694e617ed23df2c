"""Metrics that are functions of how often each (reference, prediction) pair occurs."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from hf_mtl.metrics._base import StreamingMetric
from hf_mtl.metrics._columns import paired_columns
from hf_mtl.metrics._row_statistics import Numbers, RowStatistic, divided
from hf_mtl_light.errors import UserError

LabelT = TypeVar("LabelT", int, str)
#: Of more classes, three numbers a class for every row would fill the memory.
_MOST_CLASSES = 64


@dataclass(frozen=True)
class Cells(Generic[LabelT]):
    """The cells of the confusion matrix that are not zero, as scikit-learn takes them.

    Attributes:
        references: What is true in each cell.
        predictions: What was predicted in each cell.
        counts: Items in each cell, at least 1: scikit-learn's ``sample_weight``.
    """

    references: list[LabelT]
    predictions: list[LabelT]
    counts: list[int]


class ConfusionMetric(StreamingMetric, Generic[LabelT]):
    """Count (reference, prediction) pairs and score the counts.

    The state has at most C * C counts. A subclass fills ``_counts`` in ``_update`` and scores in ``_score``.
    """

    def _reset(self) -> None:
        self._counts: Counter[tuple[LabelT, LabelT]] = Counter()

    def _score(self, cells: Cells[LabelT]) -> dict[str, float]:
        raise NotImplementedError

    def _result(self) -> dict[str, float]:
        references, predictions = (list(side) for side in zip(*self._counts, strict=True))
        with warnings.catch_warnings():
            # scikit-learn takes the cells for rows, and warns of many classes in few of them.
            warnings.filterwarnings("ignore", message="The number of unique classes is greater", category=UserWarning)
            return self._score(Cells(references, predictions, list(self._counts.values())))


class ClassMetric(ConfusionMetric[int]):
    """Check class ids and count the pairs they form. A subclass writes ``_score``.

    >>> class WithinOne(ClassMetric):
    ...     def _score(self, cells):
    ...         pairs = zip(cells.predictions, cells.references, cells.counts, strict=True)
    ...         close = sum(count for p, r, count in pairs if abs(p - r) <= 1)
    ...         return {"within_one": close / sum(cells.counts)}
    >>> WithinOne().compute(predictions=[0, 2], references=[1, 0])
    {'within_one': 0.5}
    """

    input_kind = "classes"

    def _update(self, predictions: npt.ArrayLike, references: npt.ArrayLike) -> int:
        columns = paired_columns(predictions, references, metric=self.name, row="a class id")
        if columns[0].size == 0:
            return 0
        for name, ids in zip(("predictions", "references"), columns, strict=True):
            if ids.dtype.kind not in "iub":
                raise UserError(
                    f"Metric {self.name!r}: expected class ids (integers) as {name}, found data type {ids.dtype}. Map "
                    "label names to their index, and take the argmax of scores; floats are not rounded."
                )
            if ids.min() < 0:
                row = self._rows + int(np.argmax(ids < 0))
                raise UserError(
                    f"Metric {self.name!r}, row {row}: expected a class id of 0 or more in {name}, found "
                    f"{ids[ids < 0][0]}. Drop rows without a label before adding them."
                )
        predicted, true = (ids.astype(np.int64).tolist() for ids in columns)
        self._counts.update(zip(true, predicted, strict=True))
        return len(true)


def counts_of_classes(num_classes: int | None, value: Callable[[Numbers], Numbers]) -> RowStatistic | None:
    """Return the statistic of a score of three counts a class: right, predicted and true rows.

    Args:
        num_classes: C; ``None`` where it is not known.
        value: From the sums [S, 3 C] to scores [S].
    """
    if num_classes is None or num_classes > _MOST_CLASSES:
        return None
    one_hot = np.eye(num_classes)

    def rows(predictions: Sequence[Any], references: Sequence[Any]) -> Numbers:
        predicted, true = one_hot[np.asarray(predictions, dtype=int)], one_hot[np.asarray(references, dtype=int)]
        return np.concatenate([predicted * true, predicted, true], axis=1)

    return RowStatistic(rows, value)


def f1_by_class(sums: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return [S, C]: F1, predicted rows and true rows of each class."""
    right, predicted, true = np.split(sums, 3, axis=1)
    return divided(2 * right, predicted + true), predicted, true
