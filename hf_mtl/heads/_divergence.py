r"""How far two answers to the same items differ: the symmetric Kullback-Leibler divergence, and others.

.. math:: \tfrac12 \bigl(KL(p \| q) + KL(q \| p)\bigr) = \tfrac12 \sum_c (p_c - q_c) (\log p_c - \log q_c)

No term of the sum on the right is negative, and all are 0 where p = q, also in floating point.

Source: H. Jeffreys, An Invariant Form for the Prior Probability in Estimation Problems, Proc. R. Soc. A 186, 1946.
"""

from __future__ import annotations

import torch

from hf_mtl.heads._numerics import at_least_float32, log_sum_exp

__all__ = [
    "class_divergence",
    "group_divergence",
    "group_softmax",
    "label_divergence",
    "log_divergence",
    "number_divergence",
]


def log_divergence(log_a: torch.Tensor, log_b: torch.Tensor) -> torch.Tensor:
    """Return the divergence of probabilities that are given by their logarithms, summed over all, in nats.

    Args:
        log_a: Of any shape; those of an item sum to 1.
        log_b: Of the same shape.
    """
    return ((log_a.exp() - log_b.exp()) * (log_a - log_b)).sum() / 2


def class_divergence(logits_a: torch.Tensor, logits_b: torch.Tensor, has_label: torch.Tensor) -> torch.Tensor:
    """Return the divergence of ``softmax(logits)``, summed over the items that have a label, in nats.

    Args:
        logits_a: [*, C].
        logits_b: [*, C].
        has_label: bool [*], whether an item counts.

    >>> same, kept = torch.tensor([[2.0, 0.0, 1.0], [9.0, 0.0, 0.0]]), torch.tensor([True, False])
    >>> float(class_divergence(same, same + 7, kept)), float(class_divergence(same, -same, kept)) > 0
    (0.0, True)
    """
    both = (at_least_float32(logits[has_label]) for logits in (logits_a, logits_b))
    return log_divergence(*(logits.log_softmax(-1) for logits in both))


def group_divergence(logits_a: torch.Tensor, logits_b: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the divergence of the softmax over each group of rows, summed over groups and columns, in nats.

    Args:
        logits_a: [n, C].
        logits_b: [n, C].
        groups: [n] int64, each row's group, from 0 to G - 1.
    """
    both = (at_least_float32(logits) for logits in (logits_a, logits_b))
    return log_divergence(*(logits - log_sum_exp(logits, groups)[groups] for logits in both))


def group_softmax(logits: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return the softmax over each group of rows, of each column by itself, [n, C].

    Args:
        logits: [n, C].
        groups: [n] int64, each row's group, from 0 to G - 1.
    """
    logits = at_least_float32(logits)
    return (logits - log_sum_exp(logits, groups)[groups]).exp()


def label_divergence(logits_a: torch.Tensor, logits_b: torch.Tensor) -> torch.Tensor:
    """Return the divergence of each label's ``sigmoid(logits)``, the mean over C labels, summed over n rows, in nats.

    Args:
        logits_a: [n, C].
        logits_b: [n, C].
    """
    a, b = at_least_float32(logits_a), at_least_float32(logits_b)
    # log p - log q - (log (1 - p) - log (1 - q)) is the difference of the logits.
    return ((a.sigmoid() - b.sigmoid()) * (a - b)).mean(1).sum() / 2


def number_divergence(numbers_a: torch.Tensor, numbers_b: torch.Tensor) -> torch.Tensor:
    """Return the squared difference, summed over all numbers, in their squared unit.

    Args:
        numbers_a: Of any shape.
        numbers_b: Of the same shape.
    """
    return (at_least_float32(numbers_a) - at_least_float32(numbers_b)).square().sum()
