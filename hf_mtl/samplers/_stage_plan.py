"""The plan of shares that are known in advance, constant or not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

import numpy as np

from hf_mtl.samplers._base import Shares, TaskSampler
from hf_mtl.samplers._interleaving import Interleaving
from hf_mtl.samplers._plan import Draws, Spread, StepShape
from hf_mtl.samplers._rounding import endless, whole_counts
from hf_mtl.samplers._rules import SamplingRules
from hf_mtl.samplers._stepped_plan import SteppedPlan
from hf_mtl.samplers._walk import WALKED, Walk

__all__ = ["StagePlan"]


class StagePlan(SteppedPlan):
    """Draws in given shares; each stage's are constant.

    A training of up to 100,000 positions is walked, so that each count stays within one of its share throughout.
    In a longer one constant shares are one endless `Interleaving`; changing shares are an `Interleaving` a stage, from
    one rounded count to the next.

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
        sampler: TaskSampler,
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
        nothing = np.zeros(len(sizes), dtype=np.int64)
        starts = [step * shape.step_positions for step in self._steps]
        lengths = [stop - start for start, stop in pairwise([*starts, max(self._end, starts[-1])])]
        are_turns = len(starts) == 1 and np.ptp(self._shares[0]) == 0
        if self._end <= WALKED and not are_turns:
            walk = Walk(self._shares, lengths, np.zeros(len(sizes)))
            # Whoever asks for more epochs than the training has gets the last shares for ever.
            self._starts, self._before = [0, self._end], [nothing, walk.counts]
            self._spreads: list[Spread] = [walk, endless(self._shares[-1])]
        elif len(starts) == 1:
            self._starts, self._before, self._spreads = [0], [nothing], [endless(self._shares[0])]
        else:
            owed = np.cumsum([shares * length for shares, length in zip(self._shares, lengths, strict=True)], axis=0)
            self._before = [nothing]
            for sums, stop in zip(owed, [*starts[1:], self._end], strict=True):
                self._before.append(whole_counts(sums, self._before[-1], stop))
            self._starts, self._spreads = starts, []
        # Trees of a few stages: a thousand datasets' take 0.1 MB and 3 ms each.
        self._spread = lru_cache(maxsize=8)(self._make_spread)

    def _make_spread(self, stage: int) -> Spread:
        if self._spreads:
            return self._spreads[stage]
        return Interleaving((self._before[stage + 1] - self._before[stage]).tolist())

    def _drawn(self, start: int, stop: int) -> Draws:
        stage = bisect_right(self._starts, start) - 1
        datasets, draws = self._spread(stage).stretch(start - self._starts[stage], stop - self._starts[stage])
        return datasets, draws + self._before[stage][datasets]

    def shares(self, step: int) -> Shares:
        """Return the shares of the stage that a step belongs to."""
        return self._shares[bisect_right(self._steps, step) - 1]
