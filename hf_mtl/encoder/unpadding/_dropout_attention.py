"""Attention with dropout on a CPU, its gradient written out.

torch has a kernel for attention on a CPU, but none with dropout; composed of its operations, most of the time goes
into copies between layouts and into dropout's random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hf_mtl.encoder.dropout import dropout_factors
from hf_mtl.encoder.unpadding._groups import LengthGroups

__all__ = ["DropoutAttention"]


class DropoutAttention(torch.autograd.Function):
    r"""Scaled dot-product attention within groups of padded texts, with dropout of the weights.

    .. math:: O = (P \odot M) V, \qquad P = \mathrm{softmax}(s\, Q K^\top)

    and backwards, with :math:`\partial` for the loss's gradient with respect to a value,

    .. math::
        \partial V &= (P \odot M)^\top \partial O \\
        \partial S &= P \odot (\partial P - \mathrm{rowsum}(\partial P \odot P)),
            \quad \partial P = (\partial O\, V^\top) \odot M \\
        \partial Q &= s\, \partial S\, K, \qquad \partial K = s\, \partial S^\top Q

    Source: T. Dao et al., FlashAttention, NeurIPS 2022, appendix B.2 and B.4.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cut: LengthGroups,
        masks: Sequence[torch.Tensor | None],
        scale: float,
        dropout: float,
        fast: bool,
    ) -> torch.Tensor:
        """Attend.

        Args:
            ctx: Takes what `backward` needs.
            q: [N, heads, D] float32 or float64.
            k: Like ``q``.
            v: Like ``q``.
            cut: The groups.
            masks: For each group, true where to look: broadcasts to [rows, heads, length, length]; ``None``: all.
            scale: s above.
            dropout: Probability of a zero in M, whose other entries are 1 / (1 - dropout).
            fast: Whether `hf_mtl.encoder` draws M, or torch.

        Returns:
            [N, heads, D].
        """
        heads, features = q.shape[1:]
        places = cut.by_head(heads)
        q, k, v = (_take(states, places.gather) for states in (q, k, v))
        found = torch.empty_like(q)
        kept = []
        for group, mask in zip(cut.groups, masks, strict=True):
            place, shape = group.place(heads), (group.rows * heads, group.length, features)
            weights = torch.bmm(q[place].view(shape), k[place].view(shape).transpose(1, 2)).mul_(scale)
            if mask is not None:
                by_row = weights.view(group.rows, heads, group.length, group.length)
                by_row.masked_fill_(~mask, -torch.inf)
            weights = torch.softmax(weights, -1)
            factors = (
                dropout_factors(weights, dropout) if fast else functional.dropout(torch.ones_like(weights), dropout)
            )
            torch.bmm(weights * factors, v[place].view(shape), out=found[place].view(shape))
            kept += [weights, factors]
        ctx.save_for_backward(q, k, v, *kept)
        ctx.cut, ctx.scale, ctx.heads = cut, scale, heads
        return _take(found, places.scatter).view(-1, heads, features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradients of q, k and v, as written out above."""
        q, k, v, *kept = ctx.saved_tensors
        heads, features = ctx.heads, q.shape[1]
        places = ctx.cut.by_head(heads)
        # Padded places had no output: what they got from the gather must count for nothing.
        of_output = torch.zeros_like(q).index_copy_(0, places.scatter, gradient.reshape(-1, features))
        of_q, of_k, of_v = (torch.empty_like(q) for _ in range(3))
        for number, group in enumerate(ctx.cut.groups):
            weights, factors = kept[2 * number : 2 * number + 2]
            place, shape = group.place(heads), (group.rows * heads, group.length, features)
            given = of_output[place].view(shape)
            torch.bmm((weights * factors).transpose(1, 2), given, out=of_v[place].view(shape))
            of_weights = torch.bmm(given, v[place].view(shape).transpose(1, 2)).mul_(factors)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            torch.bmm(of_scores, k[place].view(shape), out=of_q[place].view(shape))
            torch.bmm(of_scores.transpose(1, 2), q[place].view(shape), out=of_k[place].view(shape))
        found = (_take(states, places.scatter).view(-1, heads, features) for states in (of_q, of_k, of_v))
        return (*found, None, None, None, None, None)


def _take(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return rows of D features by their places."""
    return states.reshape(-1, states.shape[-1]).index_select(0, places)
