"""Attention over texts laid end to end, each token seeing its own text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from hf_mtl.compatibility import varlen_attention
from hf_mtl.encoder.unpadding._attention_layout import AttentionLayout
from hf_mtl.encoder.unpadding._dropout_attention import DropoutAttention
from hf_mtl.encoder.unpadding._groups import LengthGroup, LengthGroups

__all__ = ["FLAT_ATTENTION", "attend_flat"]

#: Name of `attend_flat` among Transformers' attention implementations.
FLAT_ATTENTION = "hf_mtl_rows"


@dataclass(frozen=True)
class Sight:
    """Which tokens of its text a token sees.

    Args:
        is_causal: Whether only those up to itself.
        window: As ``sliding_window`` of `attend_flat`.
    """

    is_causal: bool = False
    sliding_window: int | None = None

    @property
    def window(self) -> tuple[int, int]:
        """How many tokens before and after, as flash attention takes it: -1 is all."""
        side = -1 if self.sliding_window is None else self.sliding_window - 1
        return side, 0 if self.is_causal else side

    def mask(self, group: LengthGroup, device: torch.device) -> torch.Tensor | None:
        """Return a group's mask, [rows or 1, 1, length or 1, length] bool, true where a token sees another."""
        far = self.sliding_window is not None and group.length > self.sliding_window
        if not (self.is_causal or far):
            return group.mask
        place = torch.arange(group.length, device=device)
        before = place[:, None] - place[None, :]
        sees = before >= 0 if self.is_causal else torch.ones_like(before, dtype=torch.bool)
        if self.sliding_window is not None:
            sees &= before.abs() < self.sliding_window
        return sees[None, None] if group.mask is None else sees & group.mask


def attend_flat(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    rows: AttentionLayout | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute scaled dot-product attention, text by text where ``rows`` says where they lie.

    On a GPU that has it, variable-length flash attention reads the row as it lies. Everywhere else the texts are
    padded again, inside attention alone, in groups of like length.

    Args:
        module: The attention layer.
        query: [1, heads, N, D]; without ``rows`` [B, heads, L, D].
        key: Like ``query``, or with fewer heads, each shared by as many of ``query``'s.
        value: Like ``key``.
        attention_mask: Not looked at when ``rows`` is given.
        dropout: Probability of dropping an attention weight.
        scaling: Factor of the scores; ``None`` is ``D ** -0.5``.
        rows: Where the texts lie; ``None``: plain attention, `torch.nn.functional.scaled_dot_product_attention`.
        sliding_window: Tokens see those less than this many places away; ``None``: all of their text.
        is_causal: Whether tokens see none after them; ``None`` asks the layer's attribute of that name.
        kwargs: Passed on where ``rows`` is ``None``.

    Returns:
        [1, N, heads, D], or [B, L, heads, D], and no attention weights.
    """
    if rows is None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **kwargs,
        )
        return plain
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    sight = Sight(getattr(module, "is_causal", False) if is_causal is None else is_causal, sliding_window)
    return _attend_rows(query, key, value, rows, scale, dropout, sight), None


# Kept from torch.compile: the groups differ from batch to batch, and each cut would be compiled again.
@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch annotates it not
def _attend_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    rows: AttentionLayout,
    scale: float,
    dropout: float,
    sight: Sight,
) -> torch.Tensor:
    tokens = len(rows.layout.index)
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = (states.repeat_interleave(shared, 1) for states in (key, value))
    # [N, heads, D]; after them may follow tokens without meaning, of no text.
    q, k, v = (states[0, :, :tokens].transpose(0, 1) for states in (query, key, value))
    varlen = varlen_attention(q) if dropout == 0 else None  # the kernel has no dropout
    if varlen is not None:
        flat = varlen(
            *(q, k, v, rows.offsets, rows.offsets, rows.longest, rows.longest),
            scale=scale,
            window_size=sight.window,
        )
    else:
        flat = _attend_groups(q, k, v, rows.groups, scale, dropout, rows.fast_dropout, sight)
    dead = query.shape[2] - tokens
    return functional.pad(flat, (0, 0, 0, 0, 0, dead))[None] if dead else flat[None]


def _attend_groups(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cut: LengthGroups,
    scale: float,
    dropout: float,
    fast: bool,
    sight: Sight,
) -> torch.Tensor:
    """Pad again, group by group; q, k and v are [N, heads, D], and so is what comes back."""
    masks = [sight.mask(group, q.device) for group in cut.groups]
    if q.device.type != "cpu":
        return _attend_padded(q, k, v, cut, masks, scale, dropout)
    # In 16 bits torch's kernel for whole attention is several times slower on CPUs without AMX, softmax is slow at
    # most lengths, and oneDNN compiles each product again for every cut. What is computed here is little.
    wide = torch.promote_types(torch.float32, v.dtype)
    with torch.autocast("cpu", enabled=False):
        if dropout > 0:
            found: torch.Tensor = DropoutAttention.apply(
                q.to(wide), k.to(wide), v.to(wide), cut, masks, scale, dropout, fast
            )
        else:
            found = _attend_padded(q.to(wide), k.to(wide), v.to(wide), cut, masks, scale, dropout)
    return found.to(v.dtype)


def _attend_padded(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cut: LengthGroups,
    masks: Sequence[torch.Tensor | None],
    scale: float,
    dropout: float,
) -> torch.Tensor:
    q, k, v = (_Regroup.apply(states, cut.gather, cut.scatter) for states in (q, k, v))
    found = []
    for group, mask in zip(cut.groups, masks, strict=True):
        place = slice(group.start, group.stop)
        q_rows, k_rows, v_rows = (
            states[place].unflatten(0, (group.rows, group.length)).transpose(1, 2) for states in (q, k, v)
        )
        rows = functional.scaled_dot_product_attention(
            q_rows, k_rows, v_rows, attn_mask=mask, dropout_p=dropout, scale=scale
        )
        found.append(rows.transpose(1, 2).flatten(0, 1))
    flat: torch.Tensor = _Ungroup.apply(torch.cat(found), cut.scatter)
    return flat


class _Regroup(torch.autograd.Function):
    """[N, ...] to [P, ...]; copying is undone by copying, where torch would add up into zeros.

    Padded places repeat a token, but as a constant: the mask keeps every gradient from them.
    """

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, gather: torch.Tensor, scatter: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(scatter)
        return states.index_select(0, gather)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (scatter,) = ctx.saved_tensors
        return gradient.index_select(0, scatter), None, None


class _Ungroup(torch.autograd.Function):
    """[P, ...] back to [N, ...]."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, scatter: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(scatter)
        ctx.places = len(states)
        return states.index_select(0, scatter)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (scatter,) = ctx.saved_tensors
        zeros = gradient.new_zeros(ctx.places, *gradient.shape[1:])
        return zeros.index_copy(0, scatter, gradient), None


AttentionInterface.register(FLAT_ATTENTION, attend_flat)
AttentionMaskInterface.register(FLAT_ATTENTION, sdpa_mask)
