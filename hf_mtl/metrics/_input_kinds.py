"""What one row of predictions and references is, for each kind of metric."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import datasets

__all__ = ["INPUT_KINDS", "InputKind", "RowKind"]

InputKind: TypeAlias = Literal[
    "classes", "multilabel", "values", "targets", "tags", "tokens", "answers", "probabilities", "boxes"
]


@dataclass(frozen=True)
class RowKind:
    """A kind of rows.

    Args:
        feature: One row, in the words of `datasets`.
        examples: From a task's C labels, none where it has no list of them, to rows with every label once.
    """

    feature: object
    examples: Callable[[Sequence[str]], list[Any]]


#: A metric of a new kind needs a row here, and nothing else besides its class.
INPUT_KINDS: dict[InputKind, RowKind] = {
    "classes": RowKind(datasets.Value("int64"), lambda labels: list(range(len(labels) or 2))),
    "multilabel": RowKind(
        [datasets.Value("int8")], lambda labels: [[int(i == k) for i in range(len(labels))] for k in range(len(labels))]
    ),
    "values": RowKind(datasets.Value("float64"), lambda labels: [0.0, 1.0, 2.0]),
    "targets": RowKind(
        [datasets.Value("float64")], lambda labels: [[number] * len(labels) for number in (0.0, 1.0, 2.0)]
    ),
    "tags": RowKind([datasets.Value("string")], lambda labels: [list(labels)]),
    "tokens": RowKind([datasets.Value("int64")], lambda labels: [[0, 1]]),
    "probabilities": RowKind(
        [datasets.Value("float64")],
        lambda labels: [[float(i == k) for i in range(len(labels) or 2)] for k in range(len(labels) or 2)],
    ),
    "boxes": RowKind(
        {
            "boxes": [[datasets.Value("float64")]],
            "scores": [datasets.Value("float64")],
            "labels": [datasets.Value("int64")],
        },
        lambda labels: [
            {
                "boxes": [[0.0, 0.0, 9.0, 9.0]] * len(labels),
                "scores": [1.0] * len(labels),
                "labels": [*range(len(labels))],
            }
        ],
    ),
    "answers": RowKind([datasets.Value("string")], lambda labels: ["a text", ""]),
}
