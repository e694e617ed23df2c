"""Plans whose steps are all full: one timeline of stages from the first step of the training to the last."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import numpy as np

from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers.plan._plan import Plan, StepShape
from hf_mtl.samplers.plan._rules import SamplingRules
from hf_mtl.samplers.plan._spread import Draws
from hf_mtl.samplers.plan._stage import Stage

__all__ = ["StagePlan", "known_stages"]


class StagePlan(Plan):
    """Cuts one timeline of stages into epochs of equally many steps, all full.

    Args:
        rows: Rows of an epoch; a step that they do not fill is filled up, or left out if the shape says so.
        shape: What a step is made of.
        stages: The stages, of which each begins where the one before ends.
    """

    def __init__(self, rows: int, shape: StepShape, stages: list[Stage]) -> None:
        self._shape, self._stages = shape, stages
        self.epoch_units = shape.whole(rows, shape.step_rows) * shape.step_units

    def _stage(self, position: int) -> Stage:
        return self._stages[max(bisect_right([stage.start for stage in self._stages], position) - 1, 0)]

    def draw(self, epoch: int, unit: int) -> Draws:
        """Return the rows of a unit."""
        # A step's shares are those of one stage, and a unit is of one step.
        number, size = epoch * self.epoch_units + unit, self._shape.unit
        if self._shape.mixed:
            return self._stage(number * size).draw(number * size, (number + 1) * size)
        chosen, before = self._stage(number).draw(number, number + 1)
        return np.repeat(chosen, size), int(before[0]) * size + np.arange(size)

    def shares(self, step: int) -> Shares:
        """Return the shares of the stage that a step belongs to."""
        return self._stage(step * self._shape.step_positions).shares

    @property
    def last_shares(self) -> Shares | None:
        """float64 [D]: the shares when training ends."""
        return self._stages[-1].shares


def known_stages(
    sampler: DatasetSampler, sizes: Mapping[str, int], rules: SamplingRules, shape: StepShape, steps: int
) -> list[Stage]:
    """Return the stages of shares that are known in advance.

    Args:
        sampler: The strategy.
        sizes: Rows of each dataset, limited by the rules.
        rules: Weights.
        shape: What a step is made of.
        steps: Optimizer steps of the whole training.
    """
    starts = sampler.starts(steps)
    shares = [rules.shares(sampler, sizes, step, steps) for step in starts]
    # Whoever asks for more epochs than the training has gets the last shares for ever: that stage has no end.
    lengths = [*np.diff(starts) * shape.step_positions, None]
    stages = [Stage.first(lengths[0], shares[0])]
    for length, of in zip(lengths[1:], shares[1:], strict=True):
        stages.append(stages[-1].next(length, of))
    return stages
