"""Which plan goes with a sampler."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hf_mtl.samplers._adaptive import AdaptiveSampler
from hf_mtl.samplers._base import DatasetSampler
from hf_mtl.samplers.plan._adaptive_plan import AdaptivePlan
from hf_mtl.samplers.plan._epoch_plan import EpochPlan
from hf_mtl.samplers.plan._plan import Plan, StepShape
from hf_mtl.samplers.plan._rules import SamplingRules
from hf_mtl.samplers.plan._stage_plan import StagePlan, known_stages
from hf_mtl_light.errors import UserError

__all__ = ["make_plan"]


def make_plan(
    sampler: DatasetSampler,
    sizes: Mapping[str, int],
    shape: StepShape,
    *,
    rules: SamplingRules | None = None,
    epochs: float = 1,
    max_steps: int = -1,
    seed: int = 0,
) -> Plan:
    """Return the plan of a training.

    Where the shares are those of the rows themselves, whichever strategy gave them, an epoch is every row once, and
    its last steps may be short. All others draw full steps.

    Args:
        sampler: The strategy.
        sizes: Rows of each dataset.
        shape: What a step is made of.
        rules: Options that go with any strategy.
        epochs: Epochs of the training.
        max_steps: Its optimizer steps, in place of ``epochs``, if above 0.
        seed: Of the random choices of adaptive strategies.

    Raises:
        ValueError: If an option names an unknown dataset, or does not fit the strategy; if a user's sampler returns
            anything but shares.
    """
    rules = rules or SamplingRules()
    rules.check(sizes)
    sampler.check(sizes)
    limited = rules.limited(sizes)
    if rules.exhausted != "repeat" and not sampler.is_constant:
        raise UserError(
            f"exhausted={rules.exhausted!r} needs constant shares: of shares that change, epochs would differ in "
            "length. Leave it out."
        )
    if isinstance(sampler, AdaptiveSampler):
        return AdaptivePlan(sampler, limited, rules, shape, seed)
    if sampler.is_constant:
        rows = np.array(list(limited.values()))
        if np.abs(rules.shares(sampler, limited) * rows.sum() - rows).max() < 1e-3:
            return EpochPlan(rows.tolist(), shape)
    rows_of_epoch = rules.epoch_rows(sampler, limited)
    steps = max(shape.training_steps(rows_of_epoch, epochs, max_steps), 1)
    return StagePlan(rows_of_epoch, shape, known_stages(sampler, limited, rules, shape, steps))
