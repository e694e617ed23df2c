"""Probabilities of logits, and the numbers that are computed with."""

from __future__ import annotations

import numpy as np

__all__ = ["MOST_NUMBER", "PRECISIONS", "calibrated", "sigmoid", "softmax"]

#: The largest number that is computed with: float32 ends at 3.4e38, and a number meets factors.
MOST_NUMBER = 1e30
#: What a model computes in.
PRECISIONS = ("float32", "bfloat16")


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return logits divided by a temperature, in float64; by 1 as they are.

    Wider than logits come, so that of two unequal logits the greater stays the greater.
    """
    return logits if temperature == 1 else logits.astype(np.float64) / temperature


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities over the last axis, in float32 or wider, as Transformers' pipelines compute them."""
    wide = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
    powers = np.exp(wide - wide.max(-1, keepdims=True))
    result: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return result


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each logit, in float32 or wider, without overflow."""
    wide = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
    power = np.exp(-np.abs(wide))
    result: np.ndarray = np.where(wide >= 0, 1, power) / (1 + power)
    return result.astype(wide.dtype, copy=False)
