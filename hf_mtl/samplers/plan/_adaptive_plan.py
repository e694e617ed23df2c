"""The plan of an adaptive sampler: stages that are decided one ahead, as the training goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_mtl.samplers._adaptive import AdaptiveSampler, Observation, as_list, from_list
from hf_mtl.samplers.plan._plan import StepShape
from hf_mtl.samplers.plan._rules import SamplingRules
from hf_mtl.samplers.plan._stage import Stage
from hf_mtl.samplers.plan._stage_plan import StagePlan
from hf_mtl_light.errors import UserError

__all__ = ["AdaptivePlan"]


class AdaptivePlan(StagePlan):
    """Draws in shares that are decided while training, one stage ahead.

    The shares of stage s + 1 are decided when stage s begins, from what was observed until then. So batches that a
    loader fetches up to ``interval`` steps ahead are decided already, and for the first two stages nothing is known.

    What rounding leaves over in a stage, the next one makes good (`Stage`).

    Args:
        sampler: The strategy.
        sizes: Rows of each dataset, limited by the rules.
        rules: Weights.
        shape: What a step is made of.
        seed: Of the random choices.
    """

    def __init__(
        self,
        sampler: AdaptiveSampler,
        sizes: Mapping[str, int],
        rules: SamplingRules,
        shape: StepShape,
        seed: int,
    ) -> None:
        self.sampler = sampler
        self._sizes, self._rules, self._seed = dict(sizes), rules, seed
        self._length = sampler.interval * shape.step_positions
        self._known = sampler.begin(sizes)
        first = rules.shares(sampler, sizes)
        #: Number of the stage that runs; `_stages` holds the one before, it, and the next.
        self._number = 0
        stage = Stage.first(self._length, first)
        super().__init__(sum(sizes.values()), shape, [stage, stage.next(self._length, first)])
        self._forget()

    def _forget(self) -> None:
        count = len(self._sizes)
        self._losses, self._steps_seen, self._scores = np.zeros(count), np.zeros(count), np.full(count, np.nan)

    @property
    def names(self) -> list[str]:
        """The datasets, in the order of the arrays."""
        return list(self._sizes)

    @property
    def last_shares(self) -> None:
        """Unknown: training decides them."""

    # What is seen of the training

    def end_step(self, step: int, losses: Mapping[str, float]) -> None:
        """Note a step's losses; where a stage ends, learn from it and decide the stage after the next.

        Args:
            step: Steps that are done, from 1.
            losses: Dataset -> its mean loss, of those that the step has drawn; the same on every rank.
        """
        for i, name in enumerate(self._sizes):
            if name in losses:
                self._losses[i] += losses[name]
                self._steps_seen[i] += 1
        if step % self.sampler.interval == 0:
            self._end_stage()

    def see_scores(self, scores: Mapping[str, float]) -> None:
        """Note an evaluation.

        Args:
            scores: Dataset -> its validation score; the same on every rank.
        """
        for i, name in enumerate(self._sizes):
            if name in scores:
                self._scores[i] = scores[name]

    def _end_stage(self) -> None:
        ended, running = self._stages[-2:]
        steps = np.where(self._steps_seen > 0, self._steps_seen, np.nan)
        seen = Observation(
            losses=self._losses / steps,
            scores=self._scores,
            drawn=ended.counts / self._length,
            shares=ended.shares,
        )
        self._known = self.sampler.learn(self._known, seen)
        self._number += 1
        chosen = self.sampler.choose(self._known, (self._seed, self._number + 1))
        shares = self._rules.weighted(self.sampler, self._sizes, chosen)
        # The one that ended is still asked for its shares: a log comes after the step.
        self._stages = [ended, running, running.next(self._length, shares)]
        self._forget()

    # Checkpoints

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint must hold: a few numbers a dataset, as JSON holds them."""
        running, following = self._stages[-2:]
        return {
            "datasets": self.names,
            "stage": self._number,
            "drawn": running.before.tolist(),
            "owed": running.owed.tolist(),
            "shares": [running.shares.tolist(), following.shares.tolist()],
            "known": self._known,
            "losses": self._losses.tolist(),
            "steps_seen": self._steps_seen.tolist(),
            "scores": as_list(self._scores),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from what `state` returned.

        Raises:
            ValueError: If it is of other datasets.
        """
        if state["datasets"] != self.names:
            raise UserError(
                f"The checkpoint's sampling state is of the datasets {sorted(state['datasets'])}, not of "
                f"{sorted(self.names)}. Resume with the same datasets, or train from the start."
            )
        self._number = state["stage"]
        first, second = (np.array(shares) for shares in state["shares"])
        drawn = np.array(state["drawn"], dtype=np.int64)
        stage = Stage(self._number * self._length, self._length, first, drawn, np.array(state["owed"]))
        self._stages = [stage, stage.next(self._length, second)]
        self._known = dict(state["known"])
        self._losses, self._steps_seen = np.array(state["losses"]), np.array(state["steps_seen"])
        self._scores = from_list(state["scores"])
