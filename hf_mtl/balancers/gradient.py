"""Gradient methods: the tasks' gradients of the encoder become one, by an aggregator of torchjd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_mtl.balancers._base import Balancer, State, Step, TaskFacts

if TYPE_CHECKING:
    from hf_mtl.balancers._aggregators import AggregatorRecipe

__all__ = ["GradientBalancer"]


@dataclass(frozen=True, init=False, eq=False)
class GradientBalancer(Balancer):
    r"""Aggregate the tasks' gradients of the encoder's parameters; each head learns from its own task alone.

    Row t of the matrix :math:`J \in \mathbb R^{T \times P}` is the gradient of :math:`\omega_t L_t`, summed over all
    micro-batches and ranks of the step, with :math:`\omega_t` the task's ``weight``. The encoder gets
    :math:`\mathcal A(J)`, once a step; a head gets its row's own part.

    A step that holds one task gives it its gradient as it is. A step that lacks some tasks is aggregated over those it
    holds; a stateful aggregator meets it with a fresh state, which is thrown away, and its own stays as it was. Where
    too few are left for an aggregator, the rows' mean is taken. Random numbers come from a generator keyed by (seed,
    step).

    Args:
        aggregator: The name of an aggregator of torchjd; `aggregator_names` lists them.
        arguments: Its arguments, given as further keywords: see `hf_mtl.balancers.AggregatorRecipe`.

    Raises:
        ValueError: If the aggregator or an option is unknown, or a required one is missing.
        ImportError: If torchjd or a solver is missing.
    """

    requires_all_tasks = True

    aggregator: str
    arguments: Mapping[str, Any]

    def __init__(self, aggregator: str = "upgrad", **options: Any) -> None:
        # As the dataclass itself would, if the options of all aggregators had names that are known here.
        object.__setattr__(self, "aggregator", aggregator)
        object.__setattr__(self, "arguments", options)
        _ = self.recipe

    @cached_property
    def recipe(self) -> AggregatorRecipe:
        """How the aggregator is built."""
        from hf_mtl.balancers._aggregators import AggregatorRecipe  # torchjd needs torch

        return AggregatorRecipe(self.aggregator, dict(self.arguments))

    def options(self) -> dict[str, Any]:
        """Return the aggregator and the options that were given."""
        return {"aggregator": self.aggregator, **self.arguments}

    @property
    def independent_subsets(self) -> int:
        """Into how many subsets the trainer must cut a step; see `Aggregation.aggregate`."""
        return self.recipe.independent_subsets

    def begin(self, tasks: Sequence[TaskFacts]) -> State:
        """Check the options against the tasks."""
        self.recipe.check_tasks([task.name for task in tasks])
        return {}

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return ones: what the rows of the matrix, and the heads, are weighed by besides the tasks' own weights."""
        return dict.fromkeys(step.shares, 1.0)

    def weights(self, step: Step) -> dict[str, float]:
        """Return the tasks' own weights."""
        own = {task.name: task.weight for task in step.tasks}
        return {name: own[name] for name in step.shares}
