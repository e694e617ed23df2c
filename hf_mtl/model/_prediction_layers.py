"""Pretrained layers for heads that predict the encoder's own tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, AutoModelForMaskedLM
from transformers.utils import logging

from hf_mtl.heads import Head

__all__ = ["load_prediction_layers"]

logger = logging.get_logger(__name__)


def load_prediction_layers(heads: Mapping[str, Head], name: str, **kwargs: Any) -> None:
    """Load the prediction layers of a checkpoint that has some into heads of masked tokens.

    Args:
        heads: Heads by task; those without prediction layers are passed over.
        name: The checkpoint's Hub id or folder.
        kwargs: Arguments of ``from_pretrained``.
    """
    masked = [head for head in heads.values() if head.classifier.kind == "mask"]
    if not masked:
        return
    known = {key: kwargs[key] for key in ("revision", "subfolder", "token", "cache_dir") if key in kwargs}
    config = AutoConfig.from_pretrained(name, **known)
    if not any(kind.endswith(("ForMaskedLM", "ForPreTraining")) for kind in config.architectures or ()):
        return
    stock, info = AutoModelForMaskedLM.from_pretrained(name, output_loading_info=True, **kwargs)
    if info["missing_keys"] or not config.tie_word_embeddings:
        logger.warning(f"{name!r} lacks tied prediction layers: those of {type(stock).__name__} start from scratch.")
        return
    layers = {key: value.float() for key, value in stock.state_dict().items()}
    for head in masked:
        own = head.classifier.stock.state_dict()
        head.classifier.stock.load_state_dict({key: layers[key] for key in own})
