"""Dropout that is not held up by a CPU's random numbers."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FastDropout", "dropout_factors", "fast_dropout", "set_fast_dropout"]

_STEPS = 2**16


def fast_dropout(values: torch.Tensor, p: float) -> torch.Tensor:
    """Zero each value with probability p and scale the rest by 1 / (1 - p), for training on a CPU.

    torch draws one random number a value in one thread. Here each 64-bit integer decides over four values, 16 bits
    each: about 3 times faster. The distribution is that of `torch.nn.functional.dropout` with p rounded to a multiple
    of 1 / 65536, and the mean is kept exactly; the random stream is another one.

    Args:
        values: Any shape, floating point.
        p: Probability in [0, 1).
    """
    return values * dropout_factors(values, p)


def dropout_factors(like: torch.Tensor, p: float) -> torch.Tensor:
    """Return what `fast_dropout` multiplies by: 0 with probability p, else 1 / (1 - p).

    Args:
        like: Its shape, type and device are those of the result.
        p: Probability in [0, 1).
    """
    threshold = round(_STEPS * p)
    count = like.numel()
    # From the lowest int64 up to no limit: all 64 bits are random.
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    drawn = bits.view(torch.int16)[:count].view(like.shape)
    # Compared right into floating point: a tensor of bool, converted, takes three times as long.
    keep = torch.ge(drawn, threshold - _STEPS // 2, out=torch.empty_like(drawn, dtype=like.dtype))
    return keep.mul_(_STEPS / (_STEPS - threshold))


class FastDropout(nn.Dropout):
    """`torch.nn.Dropout` that uses `fast_dropout` on a CPU."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop values in training; return them as they are in evaluation."""
        if self.training and 0 < self.p < 1 and input.device.type == "cpu":
            return fast_dropout(input, self.p)
        return super().forward(input)


def set_fast_dropout(module: nn.Module, fast: bool) -> None:
    """Put a `FastDropout` in the place of each `torch.nn.Dropout` inside a module, or back."""
    old, new = (nn.Dropout, FastDropout) if fast else (FastDropout, nn.Dropout)
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child) is old:
                replacement = new(child.p, child.inplace)
                replacement.train(child.training)
                setattr(parent, name, replacement)
