"""The precision in which heads compute their losses and probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from hf_mtl.configuration import TaskConfig

__all__ = ["as_array", "at_least_float32", "cross_entropy_sum", "weight_tensor"]


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Return the values in float32, or as they are if wider: sums of logarithms need it under autocast."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def as_array(values: torch.Tensor) -> np.ndarray:
    """Return the values without torch, floating ones in float32 or wider: numpy has no bfloat16."""
    values = values.detach()
    array: np.ndarray = (at_least_float32(values) if values.is_floating_point() else values).cpu().numpy()
    return array


def weight_tensor(weights: Sequence[float] | str | None, like: torch.Tensor) -> torch.Tensor | None:
    """Return weights [C] on the device and in the dtype of ``like``; ``None``: there are none, or none learned yet."""
    return None if weights is None or isinstance(weights, str) else torch.tensor(weights).to(like)


def cross_entropy_sum(task: TaskConfig, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy summed over items, with the task's class weights and label smoothing, in nats.

    Args:
        task: The task.
        logits: [n, C].
        labels: [n] int64 class ids, or [n, C] floating probabilities, for which it is the expectation over classes;
            -100, torch's own mark, is passed over.
    """
    logits = at_least_float32(logits)
    if labels.is_floating_point():
        kept = labels[:, 0].ne(-100)
        logits, labels = logits[kept], labels[kept].to(logits)
    return functional.cross_entropy(
        logits,
        labels,
        weight=weight_tensor(task.class_weights, logits),
        reduction="sum",
        label_smoothing=task.label_smoothing,
    )


def log_sum_exp(logits: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the summed exponentials of each group of rows.

    Args:
        logits: [n, C].
        groups: [n] int64, each row's group, from 0 to G - 1.

    Returns:
        [G, C].
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    index = groups[:, None].expand_as(logits)
    top = logits.new_full((count, logits.shape[1]), -torch.inf).scatter_reduce(0, index, logits.detach(), "amax")
    powers = (logits - top[groups]).exp()
    return top + torch.zeros_like(top).index_add(0, groups, powers).log()
