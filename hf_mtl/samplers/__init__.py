"""Samplers: how often each dataset is drawn.

A `DatasetSampler` says which share of the rows each dataset has. `SAMPLERS` is the table of strategies by name; a new
one is one file and one row here. A user's own is passed to ``MultiTaskTrainer(sampler=...)`` instead. How shares become
draws is in `hf_mtl.samplers.plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl._options import made_once, parsed_options
from hf_mtl.samplers._adaptive import AdaptiveSampler, Observation
from hf_mtl.samplers._base import DatasetSampler, Shares
from hf_mtl.samplers._options import build_sampler, options_of
from hf_mtl.samplers.annealed import AnnealedSampler
from hf_mtl.samplers.bandit import BanditSampler
from hf_mtl.samplers.capped import CappedSampler
from hf_mtl.samplers.difficulty import DifficultySampler
from hf_mtl.samplers.fixed import FixedSampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.samplers.proportional import ProportionalSampler
from hf_mtl.samplers.round_robin import RoundRobinSampler
from hf_mtl.samplers.schedule import ScheduleSampler
from hf_mtl.samplers.temperature import TemperatureSampler
from hf_mtl.samplers.uniform import UniformSampler
from hf_mtl_light.errors import UserError

__all__ = [
    "SAMPLERS",
    "AdaptiveSampler",
    "AnnealedSampler",
    "BanditSampler",
    "CappedSampler",
    "DatasetSampler",
    "DifficultySampler",
    "FixedSampler",
    "Observation",
    "ProportionalSampler",
    "RoundRobinSampler",
    "ScheduleSampler",
    "Shares",
    "TemperatureSampler",
    "UniformSampler",
    "make_sampler",
    "options_of",
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


@made_once
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
