"""Rows as tokens, and where they lie in a batch: a row can be several of the encoder, two readings the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from hf_mtl_light.encoding import EncodedContext
from hf_mtl_light.words import Reading

__all__ = ["READINGS", "Tokenised", "lay_out"]

READINGS: tuple[Reading, ...] = get_args(Reading)


@dataclass
class Tokenised:
    """Rows as tokens, by their numbers.

    Args:
        texts: Of those whose text is read.
        contexts: Of those that are read in windows.
        choices: Of those that are read once a choice.
        images: The pictures of those whose picture is read.
        names: The inputs of the encoder of texts.
    """

    texts: dict[int, Any] = field(default_factory=dict)
    contexts: dict[int, EncodedContext] = field(default_factory=dict)
    choices: dict[int, list[Any]] = field(default_factory=dict)
    images: dict[int, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


def lay_out(
    tokenised: Tokenised, chosen: Mapping[Reading, Sequence[int]], count: int
) -> tuple[list[Any], dict[Reading, dict[int, list[int]]]]:
    """Lay the tokens of rows out as rows of the encoder.

    Args:
        tokenised: The tokens.
        chosen: The numbers of the rows that are read so, by reading.
        count: The number of rows.

    Returns:
        The rows of the encoder of texts, those of a row one after the other; and by reading which are each row's.
        Pictures are rows of another encoder, in order.
    """
    encoder_rows: list[Any] = []
    places: dict[Reading, dict[int, list[int]]] = {name: {} for name in READINGS}
    for i in range(count):
        text = [tokenised.texts[i]] if i in tokenised.texts else []
        windows = list(tokenised.contexts[i].windows) if i in tokenised.contexts else []
        if [window.ids for window in windows] == [encoded.ids for encoded in text]:
            windows = []  # a pair that fits into one window is read once
        own: dict[Reading, list[Any]] = {"text": text, "context": windows, "choices": tokenised.choices.get(i, [])}
        for name in own:
            if i in chosen[name]:
                places[name][i] = (
                    list(range(len(encoder_rows), len(encoder_rows) + len(own[name]))) or places["text"][i]
                )
                encoder_rows += own[name]
    places["image"] = {i: [place] for place, i in enumerate(tokenised.images)}
    return encoder_rows, places
