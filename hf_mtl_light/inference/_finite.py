"""Answers are made of numbers alone: logits that are infinite or not a number are refused, naming their row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl_light.answering import Answering
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import WordMap

__all__ = ["NotFiniteError", "check_finite", "logits_of_rows"]


class NotFiniteError(UserError):
    """Logits that no answer can be made of."""


def logits_of_rows(
    head: Answering, logits: np.ndarray, words: Sequence[WordMap], mask_id: int | None
) -> Sequence[np.ndarray]:
    """Return the logits of each row.

    Args:
        head: What answers the task.
        logits: Those of all rows: see `answer_rows`.
        words: What became of each row's words.
        mask_id: The mask token's id, where a task fills masks.
    """
    if head.reads == "choices":
        sizes = [len(row.choices) for row in words]
    elif head.level == "mask":
        sizes = [list(row.ids or ()).count(mask_id) for row in words]  # type: ignore[arg-type]
    else:
        sizes = [len(row.word_ids) if head.level == "token" else 1 for row in words]
    return np.split(logits, np.cumsum(sizes)[:-1])


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
