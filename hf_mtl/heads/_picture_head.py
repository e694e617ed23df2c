"""What heads have in common that answer once a picture."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch

from hf_mtl.configuration import TaskConfig
from hf_mtl.encoder import ImageStates, States
from hf_mtl.heads._sequence_head import SequenceHead
from hf_mtl.heads._stock import StockKind
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading

__all__ = ["PictureHead"]


class PictureHead(SequenceHead):
    """A head that answers once a picture; losses, labels and answers are those of the other parent of a task type.

    The layers are those of the encoder family's ``...ForImageClassification``; for a family without one a linear layer
    on what the encoder's own pooler gives, or on the mean of its states.
    """

    reads: ClassVar[Reading] = "image"
    stock_kind: ClassVar[StockKind | None] = "image"
    hub_task = "image-classification"

    @classmethod
    def check(cls, task: TaskConfig) -> None:
        """Check the task: see `TaskType.check`.

        Raises:
            ValueError: If a field makes no sense for a picture.
        """
        super().check(task)
        if task.pooling is not None:
            raise UserError(
                f"Task {task.name!r}: pooling={task.pooling!r} is for texts; a picture is pooled as its encoder's "
                "family does it. Leave pooling out."
            )

    @classmethod
    def describe(cls, task: TaskConfig) -> TaskDescription:
        """Return what the type says of texts, of pictures."""
        found = super().describe(task)
        assert found is not None, "each type that reads pictures has one of texts that is described"
        return dataclasses.replace(found, reads="image")

    def forward(self, states: States) -> torch.Tensor:
        """Return the logits [R, C] of R pictures."""
        assert isinstance(states, ImageStates), "a head of pictures reads the states of an image encoder"
        if self.classifier.is_stock:
            found: torch.Tensor = self.classifier.of_images(states)
            return found
        pooled = states.mean() if states.pooled is None else states.pooled
        logits: torch.Tensor = self.classifier(pooled[:, None], states.mask[:, :1])
        return logits
