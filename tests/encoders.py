"""Tiny random encoders of the families that tests cover."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig

from hf_mtl.encoder import auto_class

__all__ = ["DECODERS", "FAMILIES", "PAIRS", "tiny_config", "tiny_encoder"]

_COMMON: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 80,
}

_SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
_DECODER = {**_SPECIAL, "num_key_value_heads": 2, "head_dim": 8}
_T5 = {"d_kv": 8, "d_ff": 48, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20}

#: Family -> what its config needs besides the common sizes.
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": _SPECIAL,
    "xlm-roberta": _SPECIAL,
    "camembert": _SPECIAL,
    "distilbert": {},
    "electra": {"embedding_size": 32},
    "albert": {"embedding_size": 16},
    "deberta": {},
    "deberta-v2": {},
    "modernbert": {**_SPECIAL, "cls_token_id": 2, "sep_token_id": 3},
    "mpnet": _SPECIAL,
    "mobilebert": {"intra_bottleneck_size": 16, "embedding_size": 16},
    "gpt2": _SPECIAL,
    "llama": _DECODER,
    "qwen3": _DECODER,
    "t5": _T5,
}
#: Further families of an encoder and a decoder.
PAIRS: dict[str, dict[str, Any]] = {"mt5": _T5, "umt5": _T5}
#: Further decoder-only families.
DECODERS: dict[str, dict[str, Any]] = dict.fromkeys(
    ("gemma", "mistral", "modernbert-decoder", "olmo2", "phi3", "qwen2", "smollm3"), _DECODER
)


def tiny_config(family: str, **kwargs: Any) -> Any:
    """Return a config of a family with 2 layers of 32 features."""
    return AutoConfig.for_model(family, **{**_COMMON, **{**FAMILIES, **DECODERS, **PAIRS}.get(family, {}), **kwargs})


def tiny_encoder(family: str = "bert", seed: int = 0, **kwargs: Any) -> Any:
    """Return an encoder with random weights."""
    torch.manual_seed(seed)
    config = tiny_config(family, **kwargs)
    return auto_class(config).from_config(config)
