"""Rows with pictures, read for answering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import picture_of, pixels_of
from hf_mtl_light.encoding import EncodedRow, Row, RowError, Window, WindowEncoder, can_read
from hf_mtl_light.words import Reading, WordMap

__all__ = ["PairWindow", "PictureWindow", "RowEncoder"]

#: What a picture counts as among tokens, when windows are put into passes: an encoder's patches, about.
_TOKENS = 256


@dataclass(frozen=True)
class PictureWindow(Window):
    """A picture, as its encoder sees it.

    Args:
        pixels: [channels, height, width].
    """

    pixels: torch.Tensor

    @property
    def key(self) -> Any:
        """What distinguishes it: pictures are not compared."""
        return id(self.pixels)


@dataclass(frozen=True)
class PairWindow(Window):
    """A text with its picture: without tokens the picture alone.

    Args:
        pixels: [channels, height, width]; ``None``: the text alone.
    """

    pixels: torch.Tensor | None

    @property
    def key(self) -> Any:
        """What distinguishes it: pictures are not compared."""
        return self.ids, self.type_ids, id(self.pixels)


class RowEncoder(WindowEncoder):
    """Encodes rows of texts, as `WindowEncoder` does, and of pictures.

    Args:
        tokenizer: A fast tokenizer; ``None`` for a model of pictures alone.
        image_processor: The image processor; ``None`` for one of texts alone.
        max_length: The most tokens of a window of text.
        stride: See `WindowEncoder`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        image_processor: Any,
        max_length: int,
        stride: int | None = None,
    ) -> None:
        if tokenizer is not None:
            super().__init__(tokenizer, max_length, stride)
        else:
            self.tokenizer: Any = None
            self.stride = stride
        self.image_processor = image_processor

    def encode(
        self,
        rows: Sequence[Row],
        needs_raw_tokens: bool = False,
        reading: Reading = "text",
        needs_ids: bool = False,
    ) -> list[EncodedRow]:
        """Encode rows: see `WindowEncoder.encode`.

        Raises:
            RowError: If a picture cannot be read, or there is no image processor.
        """
        if reading == "joint":
            return self._pairs(rows)
        if reading != "image":
            return super().encode(rows, needs_raw_tokens, reading, needs_ids)
        if not rows:
            return []
        # One by one: of a photo only its pixels for the encoder stay in memory.
        return [self._picture(row) for row in rows]

    def _picture(self, row: Row) -> EncodedRow:
        pixels, size = self._pixels(row)
        window = PictureWindow([0] * _TOKENS, None, 0, _TOKENS, 1, pixels)
        return EncodedRow([window], WordMap("", [], [], picture_size=size))

    def _pixels(self, row: Row) -> tuple[torch.Tensor, tuple[int, int]]:
        """Return what an encoder sees of a row's picture, and the picture's size."""
        if self.image_processor is None:
            raise RowError(
                row,
                "it has a picture, and there is no image processor. Pass the model's: "
                "image_processor=AutoImageProcessor.from_pretrained(name).",
            )
        picture = picture_of(row)
        [pixels] = pixels_of(self.image_processor, [picture])
        return pixels, picture.size

    def _pairs(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Return rows as texts with their pictures; of a long text each window has the picture."""
        texts = iter(super().encode([row for row in rows if can_read(row, "text")]))
        found = []
        for row in rows:
            pixels = None if row.image is None else self._pixels(row)[0]
            if can_read(row, "text"):
                text = next(texts)
                windows: list[Window] = [PairWindow(**vars(window), pixels=pixels) for window in text.windows]
                found.append(EncodedRow(windows, text.words))
            else:
                found.append(EncodedRow([PairWindow([], None, 0, 0, 1, pixels)], WordMap("", [], [])))
        return found
