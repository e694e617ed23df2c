"""Predictions and references as two numpy columns of one length."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl_light.errors import UserError


def paired_columns(
    predictions: npt.ArrayLike, references: npt.ArrayLike, *, metric: str, row: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return both inputs as one-dimensional arrays of one length.

    Args:
        predictions: R entries.
        references: R entries.
        metric: Name for error messages.
        row: What one entry must be, for error messages.

    Returns:
        Predictions and references, each [R], in the data type numpy finds in them.

    Raises:
        ValueError: If one is not a column, or the lengths differ.

    >>> paired_columns([1, 2], [1, 0], metric="accuracy", row="a class id")
    (array([1, 2]), array([1, 0]))
    """
    columns = (
        _column(predictions, "predictions", metric=metric, row=row),
        _column(references, "references", metric=metric, row=row),
    )
    if len(columns[0]) != len(columns[1]):
        raise UserError(
            f"Metric {metric!r}: expected one prediction per reference, found {len(columns[0])} predictions for "
            f"{len(columns[1])} references. Pass the same rows in both."
        )
    return columns


def _column(entries: npt.ArrayLike, name: str, *, metric: str, row: str) -> npt.NDArray[Any]:
    try:
        column = np.asarray(entries)
    except ValueError:
        raise UserError(
            f"Metric {metric!r}: expected {name} of shape [R] with {row} per row, found rows of different lengths."
        ) from None
    if column.ndim != 1:
        raise UserError(
            f"Metric {metric!r}: expected {name} of shape [R] with {row} per row, found shape {list(column.shape)}. "
            "Decode logits first (argmax over the last dimension for classes), and squeeze a last dimension of 1."
        )
    return column
