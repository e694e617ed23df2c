"""What encoders and tasks read."""

from __future__ import annotations

from typing import Literal

__all__ = ["MODALITIES", "Modality"]

#: What an encoder, or a task, reads.
Modality = Literal["text", "image"]
#: How each is described.
MODALITIES: dict[Modality, str] = {"text": "texts", "image": "pictures"}
