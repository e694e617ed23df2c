"""What the attention function must know of a flat batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from hf_mtl.encoder.states import FlatLayout
from hf_mtl.encoder.unpadding._groups import LengthGroups

__all__ = ["AttentionLayout"]


@dataclass(frozen=True)
class AttentionLayout:
    """Where the texts of a flat batch lie, as attention kernels want it; computed once for all layers.

    Args:
        layout: Where each text lies.
        fast_dropout: Whether attention weights are dropped by `hf_mtl.encoder.fast_dropout` on a CPU.
    """

    layout: FlatLayout
    fast_dropout: bool = False

    @cached_property
    def offsets(self) -> torch.Tensor:
        """[B + 1] int32, where each text begins and ends."""
        return self.layout.offsets.int()

    @property
    def longest(self) -> int:
        """No text is longer: the padded length, which asks a GPU nothing."""
        return self.layout.length

    @cached_property
    def groups(self) -> LengthGroups:
        """The texts in groups of like length; on a GPU, where starting a kernel is what costs, in few."""
        device = self.layout.offsets.device
        lengths = self.layout.lengths.tolist()
        if device.type == "cpu":
            return LengthGroups.from_lengths(lengths, device)
        return LengthGroups.from_lengths(lengths, device, group_cost=_GPU_GROUP_COST)


#: About the padded tokens that a GPU computes while a group's dozen kernels start.
_GPU_GROUP_COST = 20_000.0
