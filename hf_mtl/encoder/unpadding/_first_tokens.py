"""The last layer for each text's first token alone, where heads read no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

__all__ = ["can_end_in_first_tokens", "first_tokens_alone"]

#: Families with the layers of BERT: what attention gave meets what came in at ``attention.output``, and from there on
#: each token goes its way by itself.
_BERT_LAYERS = frozenset({"bert", "camembert", "data2vec-text", "electra", "ernie", "roberta", "xlm-roberta"})


class _Wanted(threading.local):
    """Which tokens this thread wants of the last layer, [B] int64; ``None``: all."""

    tokens: torch.Tensor | None = None


_wanted = _Wanted()
_hooking = threading.Lock()


def can_end_in_first_tokens(encoder: PreTrainedModel) -> bool:
    """Return whether the last layer of an encoder can be made to compute some tokens alone."""
    config = encoder.config
    return config.model_type in _BERT_LAYERS and not getattr(config, "is_decoder", False)


@contextmanager
def first_tokens_alone(encoder: PreTrainedModel, tokens: torch.Tensor) -> Iterator[None]:
    """Have an encoder's last layer compute some tokens alone after its attention; its states are then [1, B, H].

    In a layer of BERT that spares nine of twelve parts of the matrix products. Other threads that run the encoder are
    not concerned.

    Args:
        encoder: An encoder that `can_end_in_first_tokens`.
        tokens: [B] int64, the tokens' places in its one row.
    """
    layers: Any = encoder.encoder
    meeting: nn.Module = layers.layer[-1].attention.output
    with _hooking:
        if _select_wanted not in meeting._forward_pre_hooks.values():
            meeting.register_forward_pre_hook(_select_wanted)
    _wanted.tokens = tokens
    try:
        yield
    finally:
        _wanted.tokens = None


def _select_wanted(module: nn.Module, states: tuple[Any, ...]) -> tuple[Any, ...] | None:
    tokens = _wanted.tokens
    return None if tokens is None else tuple(values.index_select(1, tokens) for values in states)
