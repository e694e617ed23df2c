"""The reversal of gradients between an encoder's states and a head."""

from __future__ import annotations

from typing import Any

import torch

from hf_mtl.encoder import States

__all__ = ["reverse"]


class _Reversal(torch.autograd.Function):
    """The identity, whose gradient is that of another sign and size."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, factor: float) -> torch.Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.factor * gradients[0], None


def reverse(module: Any, inputs: tuple[States, ...], factor: float) -> tuple[States]:
    """Return a head's states as they are, whose gradient is turned: a hook before the head.

    Args:
        module: The head.
        inputs: Its states.
        factor: What the gradient is multiplied by, besides the sign.
    """
    (states,) = inputs
    return (states.with_values(_Reversal.apply(states.values, factor)),)
