"""What heads that predict the encoder's own tokens need of the model: its vocabulary's size, and pretrained layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel
from transformers.utils import logging

from hf_mtl.heads import Head

__all__ = ["VocabularyModel", "load_prediction_layers"]

logger = logging.get_logger(__name__)


class VocabularyModel(PreTrainedModel):
    """A model whose heads may predict tokens by the encoder's input embeddings, which they do not hold."""

    encoder: PreTrainedModel
    heads: nn.ModuleDict

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Resize the vocabulary: see ``transformers.PreTrainedModel.resize_token_embeddings``."""
        embeddings: nn.Embedding = super().resize_token_embeddings(*args, **kwargs)
        for head in self.heads.values():
            assert isinstance(head, Head)
            head.resize_vocabulary(self.config.get_text_config())
        return embeddings


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
