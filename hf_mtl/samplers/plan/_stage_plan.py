"""The plan of shares that are known in advance, constant or not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

import numpy as np

from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers.plan._plan import StepShape
from hf_mtl.samplers.plan._rules import SamplingRules
from hf_mtl.samplers.plan._spread import Draws
from hf_mtl.samplers.plan._stage import Stage
from hf_mtl.samplers.plan._stepped_plan import SteppedPlan

__all__ = ["StagePlan"]


class StagePlan(SteppedPlan):
    """Draws in given shares; each stage's are constant.

    Args:
        sampler: The strategy.
        sizes: Rows of each dataset, limited by the rules.
        rules: Weights, and where an epoch ends.
        shape: What a step is made of.
        epochs: Epochs of the training.
        max_steps: Its optimizer steps, in place of ``epochs``, if above 0.
    """

    def __init__(
        self,
        sampler: DatasetSampler,
        sizes: Mapping[str, int],
        rules: SamplingRules,
        shape: StepShape,
        epochs: float,
        max_steps: int,
    ) -> None:
        super().__init__(rules.epoch_rows(sampler, sizes), shape, epochs, max_steps)
        steps = max(self.steps, 1)
        self._steps = sampler.starts(steps)
        shares = [rules.shares(sampler, sizes, step, steps) for step in self._steps]
        # Whoever asks for more epochs than the training has gets the last shares for ever: that stage has no end.
        lengths = [*np.diff(self._steps) * shape.step_positions, None]
        self._stages = [Stage.first(lengths[0], shares[0])]
        for length, of in zip(lengths[1:], shares[1:], strict=True):
            self._stages.append(self._stages[-1].next(length, of))
        self._starts = [stage.start for stage in self._stages]

    def _drawn(self, start: int, stop: int) -> Draws:
        # A step's shares are those of one stage, and a unit is of one step.
        return self._stages[bisect_right(self._starts, start) - 1].draw(start, stop)

    def shares(self, step: int) -> Shares:
        """Return the shares of the stage that a step belongs to."""
        return self._stages[bisect_right(self._steps, step) - 1].shares
