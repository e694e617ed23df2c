"""What an encoder reads, by its config: token ids or pixels."""

from __future__ import annotations

from typing import Any, Literal

from transformers import AutoModel, PreTrainedConfig

__all__ = ["MODALITIES", "Modality", "modality"]

#: What an encoder, or a task, reads.
Modality = Literal["text", "image"]
#: How each is described.
MODALITIES: dict[Modality, str] = {"text": "texts", "image": "pictures"}


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
