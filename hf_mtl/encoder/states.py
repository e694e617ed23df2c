"""The encoder's states as heads see them: one row of N tokens, and which of them belong to which text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch

from hf_mtl_light.errors import UserError

__all__ = ["FlatLayout", "FlatStates", "PaddedStates", "States"]


@dataclass(frozen=True)
class FlatLayout:
    """Where the tokens of B padded texts lie once they are joined end to end.

    Args:
        index: [N] int64, each token's place in the padded batch [B, L], read row by row.
        offsets: [B + 1] int64; text b owns the tokens from ``offsets[b]`` to ``offsets[b + 1]``.
        length: L, the padded length.

    >>> layout = FlatLayout.from_mask(torch.tensor([[1, 1, 1], [1, 0, 0]]))
    >>> layout.flatten(torch.tensor([[5, 6, 7], [8, 9, 9]])).tolist(), layout.offsets.tolist()
    ([5, 6, 7, 8], [0, 3, 4])
    """

    index: torch.Tensor
    offsets: torch.Tensor
    length: int

    @classmethod
    def from_mask(cls, mask: torch.Tensor) -> FlatLayout:
        """Lay out the tokens of a mask [B, L], nonzero at real tokens on either side of the padding."""
        real = mask != 0
        return cls(real.flatten().nonzero()[:, 0], _offsets(real.sum(1)), mask.shape[1])

    @classmethod
    def of_single_tokens(cls, offsets: torch.Tensor) -> FlatLayout:
        """Lay out one token for each text of other ``offsets``."""
        counts = torch.arange(len(offsets), device=offsets.device)
        return cls(counts[:-1], counts, 1)

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

    def select(self, rows: torch.Tensor) -> tuple[FlatLayout, torch.Tensor]:
        """Return the layout of some texts, in the order of ``rows`` [R] int64, and their tokens' numbers here, [n]."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        row = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
        # Token i of the selection is as far from its text's start here as there.
        tokens = torch.arange(len(row), device=row.device) + (self.offsets[rows] - offsets[:-1])[row]
        column = self.index[tokens] - rows[row] * self.length
        return FlatLayout(row * self.length + column, offsets, self.length), tokens


class States(ABC):
    """States of a batch of B texts, in either of two forms that give heads the same answers."""

    #: [N, H], a state for each token, text after text.
    values: torch.Tensor

    @property
    @abstractmethod
    def rows(self) -> int:
        """B, the number of texts."""

    @abstractmethod
    def to(self, dtype: torch.dtype) -> States:
        """Return the states in another precision."""

    @abstractmethod
    def with_values(self, values: torch.Tensor) -> States:
        """Return other states [N, H] of the same tokens."""

    @abstractmethod
    def select(self, rows: torch.Tensor) -> States:
        """Return the states of some texts, in the order of ``rows`` [R] int64."""

    def tokens(self, index: torch.Tensor) -> FlatStates:
        """Return the states of some of the N tokens, ``index`` [m] int64, each as a separate text."""
        numbers = torch.arange(len(index) + 1, device=index.device)
        return FlatStates(self.values.index_select(0, index), FlatLayout(numbers[:-1], numbers, 1))

    @abstractmethod
    def first(self) -> torch.Tensor:
        """Return the state of each text's first token, [B, H]."""

    @abstractmethod
    def mean(self) -> torch.Tensor:
        """Return the mean state of each text's tokens, special tokens included, [B, H]."""

    @abstractmethod
    def padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states padded on the right, [B, L, H], and their mask [B, L] int64."""

    @abstractmethod
    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """Put one value a token, [N, ...], where the batch had it, with zeros at padding: [B, L, ...]."""

    @abstractmethod
    def flatten_labels(self, labels: torch.Tensor, no_label: float) -> torch.Tensor:
        """Return one label a token, [N, ...], of labels [B, L, ...].

        Args:
            labels: The labels.
            no_label: The mark of a token without a label, which padding gets where it counts as tokens.

        Raises:
            ValueError: If the labels are not those of B texts of L tokens.
        """


@dataclass(frozen=True)
class FlatStates(States):
    """States without padding: N is the number of real tokens.

    Args:
        values: [N, H], the states of all real tokens, text after text.
        layout: Where each text lies.
    """

    values: torch.Tensor
    layout: FlatLayout

    @property
    def rows(self) -> int:
        """B, the number of texts."""
        return self.layout.rows

    def to(self, dtype: torch.dtype) -> FlatStates:
        """Return the states in another precision."""
        return FlatStates(self.values.to(dtype), self.layout)

    def with_values(self, values: torch.Tensor) -> FlatStates:
        """Return other states [N, H] of the same tokens."""
        return FlatStates(values, self.layout)

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
        if layout.rows == 1 and len(layout.index) == layout.length:
            return self.values[None], layout.index.new_ones(1, layout.length)  # a text alone, as it is
        mask = torch.arange(layout.length, device=layout.offsets.device)[None, :] < layout.lengths[:, None]
        right = FlatLayout(mask.flatten().nonzero()[:, 0], layout.offsets, layout.length)
        return right.pad(self.values), mask.long()

    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """Put one value a token, [N, ...], where the batch had it, with zeros at padding: [B, L, ...]."""
        return self.layout.pad(values)

    def flatten_labels(self, labels: torch.Tensor, no_label: float) -> torch.Tensor:
        """Return the labels of the real tokens, [N, ...], of labels [B, L, ...]."""
        _check_labels(labels, (self.rows, self.layout.length))
        return self.layout.flatten(labels)


@dataclass(frozen=True)
class PaddedStates(States):
    """States as a padded run of the encoder left them: N is B times L, padding counts as tokens.

    Shapes follow from B and L alone, not from the mask's content, so such a pass can be traced and exported; and heads
    compute on what a stock model's would, bit for bit.

    Args:
        values: [B * L, H], the states of all tokens and of the padding.
        mask: [B, L], nonzero at real tokens, on either side of the padding.
    """

    values: torch.Tensor
    mask: torch.Tensor

    @property
    def rows(self) -> int:
        """B, the number of texts."""
        return self.mask.shape[0]

    def to(self, dtype: torch.dtype) -> PaddedStates:
        """Return the states in another precision."""
        return PaddedStates(self.values.to(dtype), self.mask)

    def with_values(self, values: torch.Tensor) -> PaddedStates:
        """Return other states [N, H] of the same tokens."""
        return PaddedStates(values, self.mask)

    def select(self, rows: torch.Tensor) -> PaddedStates:
        """Return the states of some texts, in the order of ``rows`` [R] int64."""
        states = self.values.view(*self.mask.shape, -1).index_select(0, rows)
        return PaddedStates(states.flatten(0, 1), self.mask.index_select(0, rows))

    @cached_property
    def _starts(self) -> torch.Tensor:
        """[B] int64, the column of each text's first token."""
        return (self.mask != 0).long().argmax(1)

    @cached_property
    def _right(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The states and the mask moved so that each text begins in column 0."""
        rows, length = self.mask.shape
        columns = torch.arange(length, device=self.mask.device)[None] + self._starts[:, None]
        # Not the operator %, of a length that is yet unknown: torch.onnx (2.13) cannot translate it.
        columns = torch.where(columns < length, columns, columns - length)
        tokens = (torch.arange(rows, device=self.mask.device)[:, None] * length + columns).flatten()
        real = (self.mask != 0).long().flatten().index_select(0, tokens)
        return self.values.index_select(0, tokens).view(rows, length, -1), real.view(rows, length)

    def first(self) -> torch.Tensor:
        """Return the state of each text's first token, [B, H]."""
        rows, length = self.mask.shape
        return self.values.index_select(0, torch.arange(rows, device=self.mask.device) * length + self._starts)

    def mean(self) -> torch.Tensor:
        """Return the mean state of each text's tokens, special tokens included, [B, H]."""
        # In ModernBERT's own order of operations, whose stock class has this pooling.
        states, real = self._right
        return (states * real[..., None]).sum(1) / real.sum(1, keepdim=True).clamp(min=1)

    def padded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states with the padding on the right, [B, L, H], and their mask [B, L] int64."""
        return self._right

    def pad(self, values: torch.Tensor) -> torch.Tensor:
        """Give one value a token, [B * L, ...], its place in the batch, with zeros at padding: [B, L, ...]."""
        padded = values.view(*self.mask.shape, *values.shape[1:])
        return padded.masked_fill((self.mask == 0).view(*self.mask.shape, *[1] * (values.dim() - 1)), 0)

    def flatten_labels(self, labels: torch.Tensor, no_label: float) -> torch.Tensor:
        """Return one label a token, [B * L, ...], of labels [B, L, ...]; ``no_label`` at padding."""
        _check_labels(labels, tuple(self.mask.shape))
        padding = (self.mask == 0).view(*self.mask.shape, *[1] * (labels.dim() - 2))
        return labels.masked_fill(padding, no_label).flatten(0, 1)


def _check_labels(labels: torch.Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(labels.shape[:2]) != wanted:
        raise UserError(
            f"labels of tokens have the shape {tuple(labels.shape)}, where one label for each of {wanted[1]} tokens of "
            f"{wanted[0]} texts was expected, padding included: [{wanted[0]}, {wanted[1]}]."
        )


def _offsets(lengths: torch.Tensor) -> torch.Tensor:
    ends = lengths.cumsum(0)
    return torch.cat([ends.new_zeros(1), ends])
