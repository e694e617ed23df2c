"""What heads have in common that give logits of each token."""

from __future__ import annotations

import torch

from hf_mtl.encoder import States
from hf_mtl.heads._base import Head

__all__ = ["TokenHead"]


class TokenHead(Head):
    """A head with logits of each token."""

    level = "token"

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [n, C] of n tokens."""
        # The stock layers act on each token by itself, so the flat tokens may stand as one text.
        mask = states.values.new_ones(1, states.values.shape[0], dtype=torch.long)
        logits: torch.Tensor = self.classifier(states.values[None], mask)[0]
        return logits
