"""Which of the encoder's layers a head reads: the last, another, or a learned mix of all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedConfig

from hf_mtl.configuration import TaskConfig
from hf_mtl_light.errors import UserError

__all__ = ["LayerMix", "check_layers"]


def check_layers(task: TaskConfig, encoder_config: PreTrainedConfig) -> int:
    """Return the number of the encoder's layers, L.

    Raises:
        ValueError: If the task reads a layer that the encoder lacks.
    """
    count = int(getattr(encoder_config, "num_hidden_layers", 0))
    if task.layers is None:
        return count
    if not count:
        raise UserError(
            f"Task {task.name!r}: layers={task.layers!r}, but the config of the family {encoder_config.model_type!r} "
            "has no num_hidden_layers. Leave layers out to read the last."
        )
    if isinstance(task.layers, int) and task.layers > count:
        raise UserError(
            f"Task {task.name!r}: layers={task.layers}, but the encoder has {count} layers. Choose one from 0 (the "
            f"embeddings) to {count} (the last), or 'mix'."
        )
    return count


class LayerMix(nn.Module):
    r"""A learned mix of the embeddings :math:`h_0` and the L layers' states :math:`h_1 \dots h_L`.

    .. math:: h = \gamma \sum_{j=0}^{L} s_j h_j, \qquad s = \mathrm{softmax}(w)

    Both start evenly: :math:`w = 0` and :math:`\gamma = 1`. In training each layer is left out of the softmax with
    probability ``dropout``, so that the head leans on no single one; if all were, none is.

    Args:
        layers: L.
        dropout: Probability in [0, 1).

    Source: M. Peters et al., Deep Contextualized Word Representations, NAACL 2018, equation 1. Dropout of layers:
        D. Kondratyuk, M. Straka, 75 Languages, 1 Model, EMNLP 2019, section 3.2.
    """

    def __init__(self, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.scores = nn.Parameter(torch.zeros(layers + 1))
        self.gamma = nn.Parameter(torch.ones(1))

    def reset(self) -> None:
        """Weigh all layers evenly."""
        with torch.no_grad():
            self.scores.zero_()
            self.gamma.fill_(1.0)

    def weights(self) -> torch.Tensor:
        """Return s, [L + 1]: positive, with the sum 1."""
        return self.scores.float().softmax(0)

    def forward(self, layers: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mix the states of the embeddings and all layers, each [N, H]."""
        scores = self.scores.float()
        if self.training and self.dropout > 0:
            dropped = torch.rand_like(scores) < self.dropout
            scores = torch.where(dropped & ~dropped.all(), -torch.inf, scores)
        factors = (self.gamma * scores.softmax(0)).to(self.scores.dtype)
        mixed = factors[0] * layers[0].to(factors.dtype)
        for factor, states in zip(factors[1:], layers[1:], strict=True):
            mixed = mixed + factor * states.to(factors.dtype)
        return mixed
