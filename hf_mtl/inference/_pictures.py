"""What encodes rows of texts and pictures by a tokenizer and an image processor of Transformers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import pixels_of
from hf_mtl_light.encoding import RowEncoder

__all__ = ["make_row_encoder"]


def make_row_encoder(
    tokenizer: PreTrainedTokenizerBase | None, image_processor: Any, max_length: int, stride: int | None = None
) -> RowEncoder:
    """Return what encodes rows: see `RowEncoder`.

    Args:
        tokenizer: A fast tokenizer; ``None`` for a model of pictures alone.
        image_processor: The image processor; ``None`` for one of texts alone.
        max_length: The most tokens of a window of text.
        stride: See `WindowEncoder`.
    """

    def pixels(picture: Any) -> torch.Tensor:
        return pixels_of(image_processor, [picture])[0]

    return RowEncoder(tokenizer, None if image_processor is None else pixels, max_length, stride)
