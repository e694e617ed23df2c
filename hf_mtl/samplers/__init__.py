"""Samplers: how often each dataset is drawn.

`SAMPLERS` is the table of strategies by name; a new one is one file and one row here. A user's own `TaskSampler` is
passed to ``MultiTaskTrainer(sampler=...)`` instead.
"""

from __future__ import annotations

from hf_mtl._names import listed, nearest
from hf_mtl.samplers._base import TaskSampler
from hf_mtl.samplers._permutation import permute
from hf_mtl.samplers._systematic import Interleaving
from hf_mtl.samplers.proportional import ProportionalSampler

__all__ = ["SAMPLERS", "Interleaving", "ProportionalSampler", "TaskSampler", "make_sampler", "permute"]

#: Strategy -> sampler.
SAMPLERS: dict[str, type[TaskSampler]] = {
    "proportional": ProportionalSampler,
}


def make_sampler(strategy: str) -> TaskSampler:
    """Return the sampler of a strategy.

    Raises:
        ValueError: If the strategy is unknown.
    """
    if strategy not in SAMPLERS:
        raise ValueError(
            f"Unknown sampling strategy {strategy!r}.{nearest(strategy, SAMPLERS)} Strategies: {listed(SAMPLERS)}."
        )
    return SAMPLERS[strategy]()
