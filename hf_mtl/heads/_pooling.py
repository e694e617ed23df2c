"""From a text's states to the one vector that a sequence head sees."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hf_mtl.encoder import States
from hf_mtl.heads._numerics import at_least_float32

__all__ = ["POOLINGS", "AttentionPooling", "FirstPooling", "make_pooling"]


class Pooling(nn.Module):
    """Turns the states of R texts into one vector each, [R, H]; padding takes no part."""

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        raise NotImplementedError


class FirstPooling(Pooling):
    """The state of the first token."""

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        return states.first()


class LastPooling(Pooling):
    """The state of the last token, which in a decoder-only encoder has seen the whole text."""

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        padded, mask = states.padded()
        last = (mask.sum(1) - 1).clamp(min=0)
        return padded.gather(1, last[:, None, None].expand(-1, 1, padded.shape[2]))[:, 0]


class MeanPooling(Pooling):
    """The mean of the states, those of special tokens included."""

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        return states.mean()


class MaxPooling(Pooling):
    """The largest value of each feature."""

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        padded, mask = states.padded()
        return padded.masked_fill(mask[..., None] == 0, torch.finfo(padded.dtype).min).amax(1)


class AttentionPooling(Pooling):
    r"""A mean of the states, weighted by how well they answer a learned query :math:`q`.

    .. math:: v = \sum_i a_i h_i, \qquad a = \mathrm{softmax}_i\left(q^\top h_i / \sqrt{H}\right)

    The query starts at zero: then this is the mean.

    Args:
        hidden_size: H.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(hidden_size))

    def reset(self) -> None:
        """Set the query to zero."""
        with torch.no_grad():
            self.query.zero_()

    def forward(self, states: States) -> torch.Tensor:
        """Return [R, H]."""
        padded, mask = states.padded()
        scores = at_least_float32(padded @ self.query) * self.query.shape[0] ** -0.5
        weights = scores.masked_fill(mask == 0, torch.finfo(scores.dtype).min).softmax(1).to(padded.dtype)
        pooled: torch.Tensor = (weights[:, None] @ padded)[:, 0]
        return pooled


#: Name in ``TaskConfig.pooling`` -> what builds it for H features.
POOLINGS: dict[str, Callable[[int], Pooling]] = {
    "first": lambda hidden_size: FirstPooling(),
    "last": lambda hidden_size: LastPooling(),
    "mean": lambda hidden_size: MeanPooling(),
    "max": lambda hidden_size: MaxPooling(),
    "attention": AttentionPooling,
}


def make_pooling(name: str, hidden_size: int) -> Pooling:
    """Build a pooling by its name, a row of `POOLINGS`."""
    return POOLINGS[name](hidden_size)
