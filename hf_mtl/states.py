"""The encoder's states without padding: one row of N tokens, and where each text begins in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["FlatStates"]


@dataclass(frozen=True)
class FlatStates:
    """States of a batch of B texts, laid end to end.

    Args:
        values: [N, H], the states of all real tokens, text after text.
        offsets: [B + 1] int64; text b owns ``values[offsets[b]:offsets[b + 1]]``.

    >>> states = FlatStates.from_padded(torch.arange(6.0).view(2, 3, 1), torch.tensor([[1, 1, 1], [1, 0, 0]]))
    >>> states.values.flatten().tolist(), states.offsets.tolist()
    ([0.0, 1.0, 2.0, 3.0], [0, 3, 4])
    """

    values: torch.Tensor
    offsets: torch.Tensor

    @classmethod
    def from_padded(cls, padded: torch.Tensor, mask: torch.Tensor) -> FlatStates:
        """Drop the padding of ``padded`` [B, L, H]; ``mask`` [B, L] is nonzero at real tokens."""
        real = mask.bool()
        ends = real.sum(1).cumsum(0)
        return cls(padded[real], torch.cat([ends.new_zeros(1), ends]))

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each text, [B] int64."""
        return self.offsets.diff()

    def select(self, rows: torch.Tensor) -> FlatStates:
        """Return the states of some texts, in the order of ``rows`` [R] int64."""
        lengths = self.lengths[rows]
        ends = lengths.cumsum(0)
        offsets = torch.cat([ends.new_zeros(1), ends])
        # Token i of the selection sits as far behind its text's start here as there.
        shift = torch.repeat_interleave(self.offsets[rows] - offsets[:-1], lengths)
        return FlatStates(self.values[torch.arange(len(shift), device=shift.device) + shift], offsets)

    def first(self) -> torch.Tensor:
        """Return the state of each text's first token, [B, H]."""
        return self.values[self.offsets[:-1]]

    def mean(self) -> torch.Tensor:
        """Return the mean state of each text's tokens, special tokens included, [B, H]."""
        total = self.values.new_zeros(len(self.lengths), self.values.shape[1])
        text = torch.repeat_interleave(torch.arange(len(total), device=total.device), self.lengths)
        return total.index_add(0, text, self.values) / self.lengths.clamp(min=1)[:, None]

    def padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states padded on the right with zeros, [B, L, H], and their mask [B, L] int64."""
        lengths = self.lengths
        longest = int(lengths.max()) if len(lengths) else 0
        mask = torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
        result = self.values.new_zeros(len(lengths), longest, self.values.shape[1])
        result[mask] = self.values
        return result, mask.long()
