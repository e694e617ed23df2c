"""Fixed weights: rows decide."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.balancers._base import Balancer, Step

__all__ = ["FixedBalancer"]


@dataclass(frozen=True)
class FixedBalancer(Balancer):
    r"""Weigh each task by its share of the step's rows times its own weight.

    .. math:: w_t = \omega_t \, r_t / B

    for :math:`r_t` of the step's :math:`B` rows that label the task, with :math:`\omega_t` the task's ``weight``: each
    row counts the same, whichever task labels it.

    >>> balancer = FixedBalancer()
    >>> balancer.weights(Step(0, 0, {"intent": 0.75, "mood": 0.25}))
    {'intent': 0.75, 'mood': 0.25}
    """

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the shares times the number of tasks."""
        return {name: share * len(step.shares) for name, share in step.shares.items()}

    def weights(self, step: Step) -> dict[str, float]:
        """Return the shares times the tasks' own weights."""
        own = {task.name: task.weight for task in step.tasks}
        return {name: own.get(name, 1.0) * share for name, share in step.shares.items()}
