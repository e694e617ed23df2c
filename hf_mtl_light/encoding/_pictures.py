"""Rows with pictures, read for answering: pictures become pixels by whatever is given for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl_light.encoding._encodings import Tokenizer
from hf_mtl_light.encoding._readings import can_read
from hf_mtl_light.encoding._rows import Row, RowError
from hf_mtl_light.encoding._windows import EncodedRow, Window, WindowEncoder
from hf_mtl_light.pictures import PictureError, read_picture
from hf_mtl_light.words import Reading, WordMap

__all__ = ["PairWindow", "PictureWindow", "RowEncoder", "picture_of"]

#: What a picture counts as among tokens, when windows are put into passes: an encoder's patches, about.
_TOKENS = 256


@dataclass(frozen=True)
class PictureWindow(Window):
    """A picture, as its encoder sees it.

    Args:
        pixels: [channels, height, width].
    """

    pixels: Any

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

    pixels: Any

    @property
    def key(self) -> Any:
        """What distinguishes it: pictures are not compared."""
        return self.ids, self.type_ids, id(self.pixels)


class RowEncoder(WindowEncoder):
    """Encodes rows of texts, as `WindowEncoder` does, and of pictures.

    Args:
        tokenizer: A fast tokenizer; ``None`` for a model of pictures alone.
        pixels_of: Makes pixels [channels, height, width] of a picture of Pillow; ``None`` for a model of texts alone.
        max_length: The most tokens of a window of text.
        stride: See `WindowEncoder`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        pixels_of: Callable[[Any], Any] | None,
        max_length: int,
        stride: int | None = None,
    ) -> None:
        if tokenizer is not None:
            super().__init__(tokenizer, max_length, stride)
        else:
            self.tokenizer: Any = None
            self.stride = stride
        self.pixels_of = pixels_of

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

    def _pixels(self, row: Row) -> tuple[Any, tuple[int, int]]:
        """Return what an encoder sees of a row's picture, and the picture's size."""
        if self.pixels_of is None:
            raise RowError(
                row,
                "it has a picture, and there is no image processor. Pass the model's: "
                "image_processor=AutoImageProcessor.from_pretrained(name).",
            )
        picture = picture_of(row)
        return self.pixels_of(picture), picture.size

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


def picture_of(row: Row) -> Any:
    """Return a row's picture: see `read_picture`.

    Raises:
        RowError: If it cannot be read.
    """
    try:
        return read_picture(row.image)
    except PictureError as error:
        raise RowError(row, str(error)) from error
