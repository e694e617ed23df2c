"""Answers are made of numbers alone: logits that are infinite or not a number are refused, naming their row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["NotFiniteError", "check_finite"]


class NotFiniteError(UserError):
    """Logits that no answer can be made of."""


def check_finite(task: str, logits: Sequence[np.ndarray], rows: Sequence[Row]) -> None:
    """Check the logits that answers are to be made of.

    Args:
        task: The task.
        logits: Those of each row.
        rows: The rows.

    Raises:
        NotFiniteError: If some are infinite or not a number; the message names the first such row.
    """
    for values, row in zip(logits, rows, strict=True):
        if not np.isfinite(values).all():
            raise NotFiniteError(
                f"Dataset {row.dataset!r}, row {row.index}, task {task!r}: the model's logits are infinite or not a "
                "number, so there is no answer. Its training diverged, its weights are broken, or 16 bits are too few "
                "for them. Take an earlier checkpoint, get the model again, or answer in float32."
            )
