"""Equal weights: tasks count the same, however many rows they have."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.balancers._base import Balancer, Step

__all__ = ["EqualBalancer"]


@dataclass(frozen=True)
class EqualBalancer(Balancer):
    r"""Weigh all tasks of a step the same: :math:`w_t = \omega_t / T`, with :math:`\omega_t` the task's ``weight``.

    >>> from hf_mtl.balancers import TaskFacts
    >>> tasks = [TaskFacts("intent"), TaskFacts("mood", weight=3.0)]
    >>> EqualBalancer().weights(Step(0, 0, {"intent": 0.75, "mood": 0.25}, tasks=tasks))
    {'intent': 0.5, 'mood': 1.5}
    """

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return ones."""
        return dict.fromkeys(step.shares, 1.0)
