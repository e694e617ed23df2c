"""What a head gives for a batch: logits, and the labels that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

__all__ = ["HeadOutput", "ScoredBatch"]


@dataclass(frozen=True)
class HeadOutput:
    """Logits and labels of R rows.

    Args:
        logits: As `Head.loss_sum` takes them: [R, C], or [n, C] of n tokens.
        labels: As `Head.loss_sum` takes them: as `Head.encode_labels` made them, flat where they are those of tokens;
            ``None`` without labels.
        shown: As the model returns them: [R, C], or [R, L, C] with zeros at padding; of chosen tokens [m, C].
    """

    logits: torch.Tensor
    labels: torch.Tensor | None
    shown: torch.Tensor


class ScoredBatch(NamedTuple):
    """Answers beside labels, for metrics.

    Args:
        predictions: One a row, in the form of `Head.reference`.
        values: The rows' labels, as `Head.reference` takes them.
        loss_sum: The loss summed over the batch's items.
        num_items: The batch's items.
    """

    predictions: list[Any]
    values: list[Any]
    loss_sum: float
    num_items: int
