"""Numbers by encoder: one number for all, or a mapping by what they read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from hf_mtl._names import listed, nearest
from hf_mtl_light.errors import UserError

__all__ = ["by_encoder"]

T = TypeVar("T")


def by_encoder(argument: str, given: T | Mapping[str, T], encoders: Iterable[str], default: T) -> dict[str, T]:
    """Return the number of each encoder.

    Args:
        argument: What the numbers are called, for the message.
        given: A number for all, or numbers by what the encoders read.
        encoders: What the encoders read.
        default: The number of encoders that a mapping leaves out.

    Raises:
        ValueError: If a mapping names an encoder that the model lacks.

    >>> by_encoder("frozen_layers", {"image": 8}, ["text", "image"], 0)
    {'text': 0, 'image': 8}
    """
    known = list(encoders)
    numbers = given if isinstance(given, Mapping) else dict.fromkeys(known, given)
    for name in numbers:
        if name not in known:
            raise UserError(
                f"{argument} names {name!r}, which no encoder of the model reads.{nearest(str(name), known)} Encoders: "
                f"{listed(known)}."
            )
    return {kind: numbers.get(kind, default) for kind in known}
