"""Rows as users give them: a text, a pair, words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed

__all__ = ["Row", "RowError", "as_row", "is_picture"]


@dataclass(frozen=True)
class Row:
    """One row, read.

    Args:
        dataset: Name of its dataset.
        index: Its number there, from 0.
        text: The text, or its words.
        text_pair: The second text of a pair.
        labels: Its labels by task, class integers turned into their names; null labels are left out.
        choices: The texts to choose from.
        drawn: For training, which pass over its dataset it was drawn in, from 0.
        image: The picture, in any form that `hf_mtl.data.read_picture` takes. A row of a picture alone has an empty
            text.
        picture_size: Its width and height in pixels, seen upright, where a label needs them.
    """

    dataset: str
    index: int
    text: str | list[str]
    text_pair: str | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    choices: list[str] | None = None
    drawn: int | None = None
    image: Any = None
    picture_size: tuple[int, int] | None = None


class RowError(UserError):
    """A row that reads well but that a model cannot take in, such as a question longer than a window.

    Args:
        row: The row.
        message: What is wrong with it, without its dataset and number.
    """

    def __init__(self, row: Row, message: str) -> None:
        super().__init__(f"Dataset {row.dataset!r}, row {row.index}: {message}")
        self.row = row


def is_picture(value: Any) -> bool:
    """Return whether a value is a picture of Pillow, which need not be installed here, its pixels, or its path object.

    Pixels are an array of uint8, [height, width] or [height, width, channels].
    """
    if hasattr(value, "getbands") or isinstance(value, os.PathLike):
        return True
    array = getattr(value, "__array_interface__", None)
    return isinstance(array, dict) and array.get("typestr") == "|u1" and len(array.get("shape", ())) in (2, 3)


def as_row(value: Any, number: int, source: str = "input") -> Row:
    """Read one row for prediction.

    Args:
        value: A text; a mapping with ``text``, ``text`` and ``text_pair``, or ``tokens``, with or without ``choices``
            and ``image``, or with ``image`` alone, whose other fields are passed over; a tuple of a text and its pair;
            a picture as Pillow has it, or its path as a `pathlib.Path`; or a `Row`.
        number: Its number, for messages.
        source: Where it comes from, for messages.

    Raises:
        ValueError: If no input is there or it has the wrong type; the message names the row.

    >>> as_row({"text": "a", "text_pair": "b"}, 0) == as_row(("a", "b"), 0)
    True
    """
    if isinstance(value, Row):
        return value
    choices = image = None
    if is_picture(value):
        value = {"image": value}
    if isinstance(value, Mapping):
        choices, image = value.get("choices"), value.get("image")
        words, text, pair = (value.get(name) for name in ("tokens", "text", "text_pair"))
        found = f"the fields {listed(value)}"
    else:
        is_pair = isinstance(value, tuple) and len(value) == 2
        words, (text, pair) = None, value if is_pair else (value, None)
        found = f"{value!r}"[:80]
    read: str | list[str] | None = None
    if image is not None and words is None and text is None and pair is None and choices is None:
        return Row(source, number, "", image=image)
    if words is None:
        read = text if isinstance(text, str) and (pair is None or isinstance(pair, str)) else None
    elif isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words) and pair is None:
        read = list(words)
    if read is None:
        raise UserError(
            f"{source}, row {number}: expected 'text' (a string), 'text' and 'text_pair', or 'tokens' (a list of "
            f"strings); found {found}."
        )
    if choices is not None:
        choices = list(choices) if isinstance(choices, (list, tuple)) else []
        if len(choices) < 2 or not all(isinstance(choice, str) for choice in choices):
            raise UserError(
                f"{source}, row {number}: 'choices' must be a list of at least 2 strings, found "
                f"{value['choices']!r:.80}."
            )
    try:
        "".join([*read, pair or "", *(choices or ())]).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{source}, row {number}: character {error.start} is half of a surrogate pair, which is no text. Decode "
            "the text as UTF-16 where it comes from, or drop the character."
        ) from None
    return Row(source, number, read, pair, choices=choices, image=image)
