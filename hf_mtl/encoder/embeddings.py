"""Where an encoder looks up the embeddings of its tokens."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

__all__ = ["token_lookups"]


def token_lookups(encoder: PreTrainedModel) -> list[nn.Module]:
    """Return the modules that turn token ids into embeddings; of T5, say, another than ``get_input_embeddings()``.

    Args:
        encoder: The encoder.
    """
    named: nn.Module = encoder.get_input_embeddings()
    same: list[nn.Module] = [
        module
        for module in encoder.modules()
        if isinstance(module, nn.Embedding) and module.weight is getattr(named, "weight", None)
    ]
    return same or [named]
