"""Distillation in one training: a share of the loss is the teacher's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from hf_mtl.training_methods._answers import Answers, StoredAnswers
from hf_mtl.training_methods._base import TrainingMethod
from hf_mtl.training_methods._micro_batch import MicroBatch
from hf_mtl_light.encoding import Row

__all__ = ["Teaching"]


@dataclass(frozen=True, kw_only=True)
class Teaching(TrainingMethod):
    """Distillation in one training.

    Args:
        share: From a step and all steps to the teacher's share of the loss.
        temperature: What the logits of classes are divided by.
        answers: The teachers' answers.
        steps: All steps of the training.
    """

    share: Callable[[int, int], float]
    temperature: float
    answers: Answers
    steps: int

    #: Nothing of it is an option.
    title: ClassVar[str] = "distillation"

    @property
    def teaches_rows(self) -> bool:
        """Whether answers are known before a pass; models that run beside are not handed to the workers."""
        return isinstance(self.answers, StoredAnswers)

    def taught_rows(self, rows: Sequence[Row]) -> Sequence[Row] | None:
        """Return the rows with their teachers' answers for labels, where these are known before a pass."""
        return self.answers.rows(rows)

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return the teacher's share of what its loss exceeds the labels' by."""
        share = self.share(batch.step, self.steps)
        if share == 0:
            return {}
        labels = self.answers.labels(batch)
        return {name: share * (self._taught(batch, name, labels[name]) - loss) for name, loss in batch.losses.items()}

    def _taught(self, batch: MicroBatch, name: str, labels: torch.Tensor) -> torch.Tensor:
        judged = (batch.first.judged or {})[name]
        with torch.autocast(judged.logits.device.type, enabled=False):
            total = batch.heads[name].taught_sum(judged.logits, batch.flat(name, labels), self.temperature)
        return total / batch.num_items[name].to(total)
