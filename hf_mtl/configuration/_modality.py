"""What an encoder reads, by its config: token ids or pixels."""

from __future__ import annotations

from typing import Any

from transformers import AutoModel, PreTrainedConfig

from hf_mtl.configuration._modalities import Modality

__all__ = ["modality"]


def modality(config: PreTrainedConfig) -> Modality:
    """Return what the encoder of a config reads.

    >>> from transformers import BertConfig, Dinov2Config
    >>> modality(BertConfig()), modality(Dinov2Config())
    ('text', 'image')
    """
    found: Any = AutoModel._model_mapping.get(type(config), None)
    # DeiT and others have one class more, for pretraining.
    found = found[0] if isinstance(found, (tuple, list)) else found
    return "image" if getattr(found, "main_input_name", None) == "pixel_values" else "text"
