"""Samplers: how often each dataset is drawn.

A `DatasetSampler` says which share of the rows each dataset has. `SAMPLERS` is the table of strategies by name; a new
one is one file and one row here. A user's own is passed to ``MultiTaskTrainer(sampler=...)`` instead. `SamplingRules`
are what goes with any strategy: weights, limits, where an epoch ends.

A `Plan`, which `make_plan` returns, turns shares into whole draws, evenly spread: at any step each dataset's count is
within two of its share, any draw is known without the ones before, and every rank computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl._options import parsed_options
from hf_mtl.samplers._adaptive import AdaptiveSampler, Observation
from hf_mtl.samplers._adaptive_plan import AdaptivePlan
from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers._make_plan import first_and_last_shares, make_plan
from hf_mtl.samplers._options import build_sampler, options_of
from hf_mtl.samplers._permutation import permute, uniforms
from hf_mtl.samplers._plan import Plan, StepShape
from hf_mtl.samplers._rules import EXHAUSTED, SamplingRules
from hf_mtl.samplers.annealed import AnnealedSampler
from hf_mtl.samplers.bandit import BanditSampler
from hf_mtl.samplers.capped import CappedSampler
from hf_mtl.samplers.difficulty import DifficultySampler
from hf_mtl.samplers.fixed import FixedSampler
from hf_mtl.samplers.proportional import ProportionalSampler
from hf_mtl.samplers.round_robin import RoundRobinSampler
from hf_mtl.samplers.schedule import ScheduleSampler
from hf_mtl.samplers.temperature import TemperatureSampler
from hf_mtl.samplers.uniform import UniformSampler
from hf_mtl_light.errors import UserError

__all__ = [
    "EXHAUSTED",
    "SAMPLERS",
    "AdaptivePlan",
    "AdaptiveSampler",
    "AnnealedSampler",
    "BanditSampler",
    "CappedSampler",
    "DatasetSampler",
    "DifficultySampler",
    "FixedSampler",
    "Observation",
    "Plan",
    "ProportionalSampler",
    "RoundRobinSampler",
    "SamplingRules",
    "ScheduleSampler",
    "Shares",
    "StepShape",
    "TemperatureSampler",
    "UniformSampler",
    "first_and_last_shares",
    "make_plan",
    "make_sampler",
    "options_of",
    "permute",
    "uniforms",
]

#: Strategy -> sampler.
SAMPLERS: dict[str, type[DatasetSampler]] = {
    "proportional": ProportionalSampler,
    "uniform": UniformSampler,
    "temperature": TemperatureSampler,
    "capped": CappedSampler,
    "annealed": AnnealedSampler,
    "fixed": FixedSampler,
    "round-robin": RoundRobinSampler,
    "schedule": ScheduleSampler,
    "bandit": BanditSampler,
    "difficulty": DifficultySampler,
}


def make_sampler(strategy: str, options: Mapping[str, Any] | str | None = None) -> tuple[DatasetSampler, SamplingRules]:
    """Return the sampler of a strategy, and the rules that its options set.

    Args:
        strategy: A name of `SAMPLERS`.
        options: The strategy's own and those of `SamplingRules`, as a mapping or as JSON.

    Raises:
        ValueError: If the strategy or an option is unknown, or a value is wrong.

    >>> make_sampler("temperature", {"temperature": 3, "weights": {"trec": 2}})[0]
    TemperatureSampler(temperature=3)
    """
    if strategy not in SAMPLERS:
        raise UserError(
            f"Unknown sampling strategy {strategy!r}.{nearest(strategy, SAMPLERS)} Strategies: {listed(SAMPLERS)}."
        )
    return build_sampler(SAMPLERS[strategy], strategy, parsed_options("sampling_options", options))
