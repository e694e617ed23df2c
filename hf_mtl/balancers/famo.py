"""FAMO: all losses shall fall at the same rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hf_mtl._options import check_number
from hf_mtl.balancers._adam import ScalarAdam
from hf_mtl.balancers._base import Balancer, State, Step, TaskFacts

__all__ = ["FamoBalancer"]

_EPSILON = 1e-8


@dataclass(frozen=True)
class FamoBalancer(Balancer):
    r"""Step along :math:`\sum_t z_t \nabla \log L_t`, scaled to a convex combination of gradients.

    .. math:: w_t = c \, \frac{z_t}{L_t + \epsilon}, \qquad z = \operatorname{softmax}(\xi), \qquad
        c = \Big( \sum_t \frac{z_t}{L_t + \epsilon} \Big)^{-1}

    After the optimizer's step the losses are computed again on the same rows with the same dropout, and Adam moves the
    logits :math:`\xi` along

    .. math:: J_z^\top \delta, \qquad \delta_t = \log(L_t + \epsilon) - \log(L_t' + \epsilon),

    with :math:`J_z` the Jacobian of the softmax: tasks whose losses fell fast lose weight. :math:`\epsilon = 10^{-8}`.
    Where a step lacks a task, the softmax is over those it holds, and the other logits keep their values.

    It needs one more forward pass a step, two where a step has several micro-batches.

    Args:
        learning_rate: Adam's rate for the logits, at least 0.
        weight_decay: Adam's weight decay, the paper's :math:`\gamma`, at least 0.

    Raises:
        ValueError: If an option is out of its range.

    Source: B. Liu, Y. Feng, P. Stone, Q. Liu, FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, algorithm 2
    (appendix C).

    >>> balancer, tasks = FamoBalancer(), [TaskFacts("large"), TaskFacts("small")]
    >>> shares, losses = {"large": 0.5, "small": 0.5}, {"large": 3.0, "small": 1.0}
    >>> weights = balancer.weights(Step(0, 0, shares, losses, tasks=tasks, state=balancer.begin(tasks)))
    >>> {name: round(weight, 3) for name, weight in weights.items()}
    {'large': 0.25, 'small': 0.75}
    """

    requires_all_tasks = True
    weighs_current_losses = True
    observes_losses = True
    compares_losses = True

    learning_rate: float = 0.025
    weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        check_number("Balancing 'famo': learning_rate", self.learning_rate, 0)
        check_number("Balancing 'famo': weight_decay", self.weight_decay, 0)

    @property
    def _adam(self) -> ScalarAdam:
        return ScalarAdam(self.learning_rate, self.weight_decay)

    def begin(self, tasks: Sequence[TaskFacts]) -> State:
        """Return logits of 0 and Adam's moments."""
        return self._adam.begin([task.name for task in tasks])

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the weights; over the step's tasks they add up to their number."""
        shares = _softmax({name: step.state["values"][name] for name in step.shares})
        factors = {name: z / (step.losses[name] + _EPSILON) for name, z in shares.items()}
        total = sum(factors.values())
        return {name: len(factors) * factor / total for name, factor in factors.items()}

    def learn(self, step: Step) -> State:
        """Move the logits of the step's tasks."""
        if not step.losses:
            return dict(step.state)
        falls = {
            name: math.log(loss + _EPSILON) - math.log(step.losses_after[name] + _EPSILON)
            for name, loss in step.losses.items()
        }
        weights = _softmax({name: step.state["values"][name] for name in step.losses})
        mean = sum(weights[name] * fall for name, fall in falls.items())
        return self._adam.step(step.state, {name: weights[name] * (fall - mean) for name, fall in falls.items()})


def _softmax(logits: Mapping[str, float]) -> dict[str, float]:
    largest = max(logits.values())
    powers = {name: math.exp(logit - largest) for name, logit in logits.items()}
    total = sum(powers.values())
    return {name: power / total for name, power in powers.items()}
