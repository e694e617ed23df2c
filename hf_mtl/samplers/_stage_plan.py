"""The plan of shares that are known in advance, constant or not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers._interleaving import Interleaving
from hf_mtl.samplers._plan import Draws, StepShape
from hf_mtl.samplers._rules import SamplingRules
from hf_mtl.samplers._stepped_plan import SteppedPlan
from hf_mtl.samplers._timeline import Timeline

__all__ = ["StagePlan"]


class StagePlan(SteppedPlan):
    """Draws in given shares; each stage's are constant.

    Each count stays within one of the sum of its shares throughout (`Interleaving`).

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
        super().__init__(rules.epoch_rows(sizes, rules.shares(sampler, sizes)), shape, epochs, max_steps)
        steps = max(self.steps, 1)
        self._steps = sampler.starts(steps)
        self._shares = [rules.shares(sampler, sizes, step, steps) for step in self._steps]
        starts = [step * shape.step_positions for step in self._steps]
        # Whoever asks for more epochs than the training has gets the last shares for ever.
        self._spread = Interleaving(Timeline.of_shares(self._shares, starts))

    def _drawn(self, start: int, stop: int) -> Draws:
        return self._spread.stretch(start, stop)

    def shares(self, step: int) -> Shares:
        """Return the shares of the stage that a step belongs to."""
        return self._shares[bisect_right(self._steps, step) - 1]
