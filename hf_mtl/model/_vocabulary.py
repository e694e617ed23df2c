"""The part of the model that predicts the encoder's own tokens: which of them, by which matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from hf_mtl.encoder import States
from hf_mtl.heads import Head

__all__ = ["VocabularyModel", "load_prediction_layers"]

logger = logging.get_logger(__name__)


class VocabularyModel(PreTrainedModel):
    """A model whose heads may predict tokens by the encoder's input embeddings, which they do not hold."""

    encoder: PreTrainedModel
    heads: nn.ModuleDict

    def _logits_of(
        self, head: Head, states: States, wanted: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run a head.

        Args:
            head: The head.
            states: What it reads, N tokens.
            wanted: For heads of masked tokens [N]: those whose logits are computed are not -100; ``None``: all.

        Returns:
            The logits, and of ``wanted`` what they belong to.
        """
        if head.level != "mask":
            return head(states), wanted
        if wanted is not None:
            index = wanted.ne(-100).nonzero()[:, 0]
            states, wanted = states.tokens(index), wanted[index]
        return head(states, self.encoder), wanted

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """Resize the vocabulary: see ``transformers.PreTrainedModel.resize_token_embeddings``."""
        embeddings: nn.Embedding = super().resize_token_embeddings(*args, **kwargs)
        for head in self.heads.values():
            if isinstance(head, Head) and head.level == "mask":
                _resize(head, self.config.get_text_config())
        return embeddings


@torch.no_grad()
def _resize(head: Head, config: PreTrainedConfig) -> None:
    """Give a head's parameters that are as long as the vocabulary its new length; new places are zero."""
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in type(head)(head.task, config).named_parameters()}
    for name, old in list(head.named_parameters()):
        if old.shape != wanted[name]:
            new = old.new_zeros(wanted[name])
            kept = tuple(slice(min(sizes)) for sizes in zip(old.shape, new.shape, strict=True))
            new[kept] = old[kept]
            owner, _, last = name.rpartition(".")
            setattr(head.get_submodule(owner), last, nn.Parameter(new, requires_grad=old.requires_grad))


def load_prediction_layers(heads: Mapping[str, Head], name: str, **kwargs: Any) -> None:
    """Load the prediction layers of a checkpoint that has some into heads of masked tokens.

    Args:
        heads: Heads by task; others are passed over.
        name: The checkpoint's Hub id or folder.
        kwargs: Arguments of ``from_pretrained``.
    """
    masked = [head for head in heads.values() if head.level == "mask"]
    if not masked:
        return
    known = {key: kwargs[key] for key in ("revision", "subfolder", "token", "cache_dir") if key in kwargs}
    config = AutoConfig.from_pretrained(name, **known)
    if not any(kind.endswith(("ForMaskedLM", "ForPreTraining")) for kind in config.architectures or ()):
        return
    stock, info = AutoModelForMaskedLM.from_pretrained(name, output_loading_info=True, **kwargs)
    if info["missing_keys"] or not config.tie_word_embeddings:
        logger.warning(f"{name!r} lacks tied prediction layers: those of {type(stock).__name__} start anew.")
        return
    layers = {key: value.float() for key, value in stock.state_dict().items()}
    for head in masked:
        own = head.classifier.stock.state_dict()
        head.classifier.stock.load_state_dict({key: layers[key] for key in own})
