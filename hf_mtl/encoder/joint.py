"""States of texts and pictures that belong together, as heads see them that read both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hf_mtl.encoder.images import ImageStates
from hf_mtl.encoder.states import PaddedStates, States
from hf_mtl_light.errors import UserError

__all__ = ["JointStates"]


@dataclass(frozen=True)
class JointStates(PaddedStates):
    """States of P rows with a text, a picture, or both.

    Args:
        values: [P, 0]: a head makes one vector a row of what follows.
        mask: [P, 1], all ones.
        text: The states of B texts, or nothing.
        image: Those of B' pictures, or nothing.
        pairs: [P, 2] int64, each row's number among the texts and among the pictures; -1 where it has none.
    """

    text: States | None
    image: ImageStates | None
    pairs: torch.Tensor

    @classmethod
    def of(cls, found: Mapping[str, States], pairs: torch.Tensor | None) -> JointStates:
        """Return the states of what the encoders returned.

        Args:
            found: The states of texts as ``"text"``, of pictures as ``"image"``; at least one of them.
            pairs: See above; ``None``: each text belongs to the picture of the same number.

        Raises:
            ValueError: If there are no pairs, and the numbers of texts and pictures differ.
        """
        text, image = found.get("text"), found.get("image")
        assert image is None or isinstance(image, ImageStates)
        some = next(iter(found.values()))
        if pairs is None:
            if len({states.rows for states in found.values()}) > 1:
                raise UserError(
                    f"The batch holds {found['text'].rows} texts and {found['image'].rows} pictures, and a task reads "
                    "both: pass pairs [P, 2], which of them belong together."
                )
            own = torch.arange(some.rows, device=some.values.device)
            none = torch.full_like(own, -1)
            pairs = torch.stack([none if text is None else own, none if image is None else own], 1)
        mask = torch.ones(len(pairs), 1, dtype=torch.long, device=pairs.device)
        return cls(some.values.new_zeros(len(pairs), 0), mask, text, image, pairs)
