"""Which plan goes with a sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hf_mtl.samplers._adaptive import AdaptiveSampler
from hf_mtl.samplers._adaptive_plan import AdaptivePlan
from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers._epoch_plan import EpochPlan
from hf_mtl.samplers._plan import Plan, StepShape
from hf_mtl.samplers._rules import SamplingRules
from hf_mtl.samplers._stage_plan import StagePlan

__all__ = ["first_and_last_shares", "make_plan"]


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
        ValueError: If an option names a dataset that there is not, or does not fit the strategy.
    """
    rules = rules or SamplingRules()
    rules.check(sizes)
    sampler.check(sizes)
    limited = rules.limited(sizes)
    is_adaptive = isinstance(sampler, AdaptiveSampler)
    is_constant = not is_adaptive and len(sampler.starts(1000)) == 1
    if rules.exhausted != "repeat" and not is_constant:
        raise ValueError(
            f"exhausted={rules.exhausted!r} needs constant shares: of shares that change, epochs would differ in "
            "length. Leave it out."
        )
    shares = rules.shares(sampler, limited)
    _check(shares, sampler)
    if isinstance(sampler, AdaptiveSampler):
        return AdaptivePlan(sampler, limited, rules, shape, epochs, max_steps, seed)
    rows = np.array(list(limited.values()))
    if is_constant and np.abs(shares * rows.sum() - rows).max() < 1e-3:
        return EpochPlan(rows.tolist(), shape)
    return StagePlan(sampler, limited, rules, shape, epochs, max_steps)


def _check(shares: Shares, sampler: DatasetSampler) -> None:
    """Check what a user's own sampler returns, before an hour of training shows it."""
    if not (np.all(shares >= 0) and abs(float(shares.sum()) - 1) < 1e-6):
        raise ValueError(
            f"{type(sampler).__name__}.probabilities must return numbers of at least 0 that sum to 1, found "
            f"{shares.tolist()[:10]}."
        )


def first_and_last_shares(
    sampler: DatasetSampler,
    sizes: Mapping[str, int],
    shape: StepShape,
    *,
    rules: SamplingRules,
    epochs: float = 1,
    max_steps: int = -1,
) -> list[tuple[float, float | None]]:
    """Return each dataset's share when training begins and when it ends, in the order of ``sizes``.

    The second is ``None`` if training itself will decide it. The arguments are those of `make_plan`.
    """
    rules.check(sizes)
    sampler.check(sizes)
    limited = rules.limited(sizes)
    first = rules.shares(sampler, limited)
    if isinstance(sampler, AdaptiveSampler):
        return [(share, None) for share in first.tolist()]
    rows = rules.epoch_rows(limited, first)
    steps = max(max_steps if max_steps > 0 else math.ceil(epochs * shape.whole(rows, shape.step_rows)), 1)
    last = rules.shares(sampler, limited, sampler.starts(steps)[-1], steps)
    return list(zip(first.tolist(), last.tolist(), strict=True))
