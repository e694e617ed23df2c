"""Plans whose steps are all full: one timeline of positions from the first step of the training to the last."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from hf_mtl.samplers.plan._plan import Plan, StepShape
from hf_mtl.samplers.plan._spread import Draws

__all__ = ["SteppedPlan"]


class SteppedPlan(Plan):
    """Cuts one timeline into epochs of equally many steps, all full.

    Args:
        rows: Rows of an epoch; a step that they do not fill is filled up, or left out if the shape says so.
        shape: What a step is made of.
        epochs: Epochs of the training.
        max_steps: Its optimizer steps, in place of ``epochs``, if above 0.
    """

    def __init__(self, rows: int, shape: StepShape, epochs: float, max_steps: int) -> None:
        self._shape = shape
        self.epoch_units = shape.whole(rows, shape.step_rows) * shape.step_units
        #: Steps of the whole training.
        self.steps = shape.training_steps(rows, epochs, max_steps)

    @abstractmethod
    def _drawn(self, start: int, stop: int) -> Draws:
        """Return the dataset of each position of a unit, and how many draws it had before in the training."""

    def draw(self, epoch: int, unit: int) -> Draws:
        """Return the rows of a unit."""
        number, size = epoch * self.epoch_units + unit, self._shape.unit
        if self._shape.mixed:
            return self._drawn(number * size, (number + 1) * size)
        chosen, before = self._drawn(number, number + 1)
        return np.repeat(chosen, size), int(before[0]) * size + np.arange(size)
