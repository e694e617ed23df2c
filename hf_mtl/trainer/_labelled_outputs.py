"""The logits of labelled rows of a batch, and the items among them that are judged by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from hf_mtl.data import Row
from hf_mtl.heads import Head, as_array
from hf_mtl_light.numerics import sigmoid, softmax
from hf_mtl_light.tags import WordRuns
from hf_mtl_light.words import WordMap

__all__ = ["LabelledOutputs", "item_probabilities"]


@dataclass(frozen=True)
class LabelledOutputs:
    """What a model says of the rows of a batch that label a task.

    Args:
        head: The task's head.
        rows: R rows.
        words: What became of each row's words.
        logits: [R, C], or [R, L, C] of tokens.
        labels: What `Head.encode_labels` returned.
    """

    head: Head
    rows: Sequence[Row]
    words: Sequence[WordMap]
    logits: torch.Tensor
    labels: torch.Tensor

    def items(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the items that are judged by themselves: rows, or the words of tagging tasks that have a tag.

        Returns:
            Logits [n, C] float32 or wider; targets [n, C] float32, the probability of each label; and [n] the number
            of each item's row.
        """
        logits, labels = self.logits.detach(), self.labels
        numbers = np.arange(len(self.rows))
        if self.head.level == "token":
            runs = WordRuns.of(self.words)
            places = torch.tensor(runs.tokens, dtype=torch.long, device=logits.device)
            logits, labels = logits.flatten(0, 1)[places], labels.to(logits.device).flatten(0, 1)[places]
            kept = self.head.has_label(labels)
            logits, labels = logits[kept], labels[kept]
            counts = [sum(place is not None for place in places) for places in runs.places]
            numbers = np.repeat(numbers, counts)[kept.cpu().numpy()]
        if not labels.is_floating_point():
            labels = functional.one_hot(labels, logits.shape[-1])
        return as_array(logits), as_array(labels.float()), numbers

    def probabilities(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what the task says of the items and what is true of them: see `item_probabilities`."""
        logits, targets, _ = self.items()
        return item_probabilities(self.head, logits, targets, self.head.task.calibration_temperature)


def item_probabilities(
    head: Head, logits: np.ndarray, targets: np.ndarray, temperature: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of items and what is true of them, both [n, C]; of a label by itself [n C, 2].

    Args:
        head: The head of a task that can be calibrated.
        logits: [n, C], as `LabelledOutputs.items` gives them.
        targets: [n, C], likewise.
        temperature: What logits are divided by; ``None``: 1.
    """
    description = head.describe(head.task)
    assert description is not None  # calibratable
    wide = logits.astype(np.float64) / (temperature or 1.0)
    if description.function == "softmax":
        return softmax(wide), targets
    scores, flags = sigmoid(wide).ravel(), targets.ravel()
    return np.stack([1 - scores, scores], -1), np.stack([1 - flags, flags], -1)
