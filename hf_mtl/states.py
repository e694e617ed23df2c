"""The encoder's states without padding: one row of N tokens, and where each text begins in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

__all__ = ["FlatStates", "RowLayout"]


@dataclass(frozen=True)
class RowLayout:
    """Where the tokens of B padded texts lie once they stand end to end.

    Args:
        index: [N] int64, each token's place in the padded batch [B, L], read row by row.
        offsets: [B + 1] int64; text b owns the tokens from ``offsets[b]`` to ``offsets[b + 1]``.
        length: L, the padded length.

    >>> layout = RowLayout.from_mask(torch.tensor([[1, 1, 1], [1, 0, 0]]))
    >>> layout.flatten(torch.tensor([[5, 6, 7], [8, 9, 9]])).tolist(), layout.offsets.tolist()
    ([5, 6, 7, 8], [0, 3, 4])
    """

    index: torch.Tensor
    offsets: torch.Tensor
    length: int

    @classmethod
    def from_mask(cls, mask: torch.Tensor) -> RowLayout:
        """Lay out the tokens of a mask [B, L], nonzero at real tokens on either side of the padding."""
        real = mask != 0
        return cls(real.flatten().nonzero()[:, 0], _offsets(real.sum(1)), mask.shape[1])

    @property
    def rows(self) -> int:
        """B, the number of texts."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> torch.Tensor:
        """Tokens of each text, [B] int64."""
        return self.offsets.diff()

    def flatten(self, padded: torch.Tensor) -> torch.Tensor:
        """Drop the padding: [B, L, ...] becomes [N, ...]."""
        return padded.flatten(0, 1).index_select(0, self.index)

    def pad(self, flat: torch.Tensor) -> torch.Tensor:
        """Put each token back where it was, with zeros between: [N, ...] becomes [B, L, ...]."""
        padded = flat.new_zeros(self.rows * self.length, *flat.shape[1:]).index_copy(0, self.index, flat)
        return padded.view(self.rows, self.length, *flat.shape[1:])

    def select(self, rows: torch.Tensor) -> tuple[RowLayout, torch.Tensor]:
        """Return the layout of some texts, in the order of ``rows`` [R] int64, and their tokens' numbers here, [n]."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
        # Token i of the selection sits as far behind its text's start here as there.
        tokens = torch.arange(len(row), device=row.device) + (self.offsets[rows] - offsets[:-1])[row]
        column = self.index[tokens] - rows[row] * self.length
        return RowLayout(row * self.length + column, offsets, self.length), tokens


@dataclass(frozen=True)
class FlatStates:
    """States of a batch of B texts, laid end to end.

    Args:
        values: [N, H], the states of all real tokens, text after text.
        layout: Where each text lies.
    """

    values: torch.Tensor
    layout: RowLayout

    def select(self, rows: torch.Tensor) -> FlatStates:
        """Return the states of some texts, in the order of ``rows`` [R] int64."""
        layout, tokens = self.layout.select(rows)
        return FlatStates(self.values.index_select(0, tokens), layout)

    def first(self) -> torch.Tensor:
        """Return the state of each text's first token, [B, H]."""
        return self.values.index_select(0, self.layout.offsets[:-1])

    def mean(self) -> torch.Tensor:
        """Return the mean state of each text's tokens, special tokens included, [B, H]."""
        lengths = self.layout.lengths
        text = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        total = self.values.new_zeros(len(lengths), self.values.shape[1]).index_add(0, text, self.values)
        return total / lengths.clamp(min=1)[:, None]

    def padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states padded on the right with zeros, [B, L, H], and their mask [B, L] int64."""
        return self._padded

    @cached_property
    def _padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        # Once for all heads that ask for it.
        layout = self.layout
        mask = torch.arange(layout.length, device=layout.offsets.device)[None, :] < layout.lengths[:, None]
        right = RowLayout(mask.flatten().nonzero()[:, 0], layout.offsets, layout.length)
        return right.pad(self.values), mask.long()


def _offsets(lengths: torch.Tensor) -> torch.Tensor:
    ends = lengths.cumsum(0)
    return torch.cat([ends.new_zeros(1), ends])
