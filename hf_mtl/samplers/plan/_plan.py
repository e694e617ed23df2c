"""The contract of a plan: from shares to whole draws, at any step of the training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from hf_mtl.samplers._base import Shares
from hf_mtl.samplers.plan._spread import Draws

__all__ = ["BATCHINGS", "Plan", "StepShape"]

#: Whether a batch holds rows of all datasets, or a step rows of one.
BATCHINGS = ("mixed", "homogeneous")


@dataclass(frozen=True)
class StepShape:
    """What an optimizer step is made of.

    A unit is what is drawn at once: of mixed batching a batch, of homogeneous batching a whole step. A position is
    what is given to a dataset: a row, or a whole step.

    Args:
        rows: Rows of a batch over all ranks.
        accumulation: Batches of a step.
        mixed: Whether a batch holds rows of all datasets, or a step rows of one.
        skip_last: Whether what does not fill a unit is left out.
    """

    rows: int
    accumulation: int = 1
    mixed: bool = True
    skip_last: bool = False

    @property
    def cuts(self) -> int:
        """The batches that a unit is cut into."""
        return 1 if self.mixed else self.accumulation

    @property
    def unit(self) -> int:
        """Rows of a unit."""
        return self.rows * self.cuts

    @property
    def step_units(self) -> int:
        """Units of a step."""
        return self.accumulation if self.mixed else 1

    @property
    def step_rows(self) -> int:
        """Rows of a step."""
        return self.rows * self.accumulation

    @property
    def step_positions(self) -> int:
        """Positions of a step."""
        return self.step_rows if self.mixed else 1

    def whole(self, rows: int, size: int) -> int:
        """Return how often ``size`` goes into ``rows``; the rest counts unless it is skipped."""
        return rows // size if self.skip_last else -(-rows // size)

    def training_steps(self, rows: int, epochs: float, max_steps: int) -> int:
        """Return the steps of a training.

        Args:
            rows: Rows of an epoch.
            epochs: Epochs of the training.
            max_steps: Its optimizer steps, in place of ``epochs``, if above 0.
        """
        return max_steps if max_steps > 0 else math.ceil(epochs * self.whole(rows, self.step_rows))


class Plan(ABC):
    """Says which rows of which dataset make up each unit of a training, in any order that it is asked."""

    #: Units of an epoch: each has as many.
    epoch_units: int

    @abstractmethod
    def draw(self, epoch: int, unit: int) -> Draws:
        """Return the rows of a unit: the dataset of each, and how many rows of it came before in the training.

        Args:
            epoch: Number of the epoch, from 0.
            unit: Number of the unit in the epoch, from 0.
        """

    @abstractmethod
    def shares(self, step: int) -> Shares:
        """Return the shares in force at an optimizer step, from 0."""

    @property
    def last_shares(self) -> Shares | None:
        """The shares when training ends; ``None``: training itself will decide them."""
        return self.shares(0)

    def first_and_last_shares(self) -> list[tuple[float, float | None]]:
        """Return each dataset's share when training begins and when it ends, ``None`` if training will decide it."""
        first, last = self.shares(0).tolist(), self.last_shares
        return list(zip(first, [None] * len(first) if last is None else last.tolist(), strict=True))
