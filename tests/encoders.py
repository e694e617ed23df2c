"""Tiny random encoders of the families that tests cover."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModel

__all__ = ["FAMILIES", "tiny_config", "tiny_encoder"]

_COMMON: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
}

#: Family -> what its config needs besides the common sizes.
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
    "distilbert": {},
    "electra": {"embedding_size": 32},
    "albert": {"embedding_size": 16},
    "deberta-v2": {},
    "modernbert": {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "mpnet": {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
}


def tiny_config(family: str, **kwargs: Any) -> Any:
    """Return a config of a family with 2 layers of 32 features."""
    return AutoConfig.for_model(family, **{**_COMMON, **FAMILIES.get(family, {}), **kwargs})


def tiny_encoder(family: str = "bert", seed: int = 0, **kwargs: Any) -> Any:
    """Return an encoder with random weights."""
    torch.manual_seed(seed)
    return AutoModel.from_config(tiny_config(family, **kwargs))
