"""Uncertainty weighting: each task's noise is learned, and noisy tasks count less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hf_mtl._options import check_number
from hf_mtl.balancers._adam import ScalarAdam
from hf_mtl.balancers._base import Balancer, State, Step, TaskFacts

__all__ = ["UncertaintyBalancer"]

#: Log variances stay within it: a task whose loss is zero would otherwise send its own to minus infinity.
_BOUND = 10.0


@dataclass(frozen=True)
class UncertaintyBalancer(Balancer):
    r"""Learn the log variance :math:`s_t = \log \sigma_t^2` of each task by the likelihood of its labels.

    .. math:: \sum_t \tfrac12 e^{-s_t} L_t + \tfrac12 s_t \;\text{(regression)}, \qquad
        \sum_t e^{-s_t} L_t + \tfrac12 s_t \;\text{(classification, tagging)}

    with :math:`L_t` the squared error or the cross-entropy. The tasks' relative weights are the factors of
    :math:`L_t`. The log variances start at 0 (so regression starts at half the weight, as in the paper), move by Adam
    against their exact gradients, :math:`\tfrac12 - \tfrac12 e^{-s} L` or :math:`\tfrac12 - e^{-s} L`, and stay within
    [-10, 10]. Each moves in the steps that hold its task. The logged ``loss`` is without the terms of :math:`s_t`
    alone, which no weight of the model moves.

    Args:
        learning_rate: Adam's rate for the log variances, at least 0.

    Raises:
        ValueError: If ``learning_rate`` is below 0.

    Source: A. Kendall, Y. Gal, R. Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry
    and Semantics, CVPR 2018, equations 7 (regression) and 10 (with classification).

    >>> balancer, tasks = UncertaintyBalancer(learning_rate=0.1), [TaskFacts("intent"), TaskFacts("stars", True)]
    >>> step = Step(0, 0, {"intent": 0.5, "stars": 0.5}, tasks=tasks, state=balancer.begin(tasks))
    >>> balancer.relative_weights(step)
    {'intent': 1.0, 'stars': 0.5}
    """

    observes_losses = True

    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        check_number("Balancing 'uncertainty': learning_rate", self.learning_rate, 0)

    @property
    def _adam(self) -> ScalarAdam:
        return ScalarAdam(self.learning_rate)

    def begin(self, tasks: Sequence[TaskFacts]) -> State:
        """Return log variances of 0 and Adam's moments."""
        return self._adam.begin([task.name for task in tasks])

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the factors of the losses."""
        factors = {task.name: 0.5 if task.is_regression else 1.0 for task in step.tasks}
        return {name: factors[name] * math.exp(-step.state["values"][name]) for name in step.shares}

    def learn(self, step: Step) -> State:
        """Move the log variances of the step's tasks."""
        weights = self.relative_weights(step)
        state = self._adam.step(step.state, {name: 0.5 - weights[name] * loss for name, loss in step.losses.items()})
        bounded = {name: min(max(value, -_BOUND), _BOUND) for name, value in state["values"].items()}
        return {**state, "values": bounded}
