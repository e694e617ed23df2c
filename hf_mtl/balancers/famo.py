"""FAMO: all losses shall fall at the same rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl._options import check_number
from hf_mtl.balancers._adam import ScalarAdam
from hf_mtl.balancers._base import Balancer, Step, TaskFacts

__all__ = ["FamoBalancer"]

_EPSILON = 1e-8


@dataclass(eq=False)
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

    >>> balancer = FamoBalancer()
    >>> balancer.start([TaskFacts("large"), TaskFacts("small")], seed=0)
    >>> weights = balancer.weights(Step(0, 0, {"large": 0.5, "small": 0.5}, {"large": 3.0, "small": 1.0}))
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

    def start(self, tasks: Sequence[TaskFacts], seed: int) -> None:
        """Set all logits to 0."""
        super().start(tasks, seed)
        self._adam = ScalarAdam({task.name: 0.0 for task in tasks}, self.learning_rate, self.weight_decay)

    def _softmax(self, names: Sequence[str]) -> dict[str, float]:
        largest = max(self._adam.values[name] for name in names)
        powers = {name: math.exp(self._adam.values[name] - largest) for name in names}
        total = sum(powers.values())
        return {name: power / total for name, power in powers.items()}

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the weights; over the step's tasks they add up to their number."""
        parts = {name: z / (step.losses[name] + _EPSILON) for name, z in self._softmax(list(step.shares)).items()}
        total = sum(parts.values())
        return {name: len(parts) * part / total for name, part in parts.items()}

    def update(self, step: Step) -> None:
        """Move the logits of the step's tasks."""
        names = list(step.losses)
        if not names:
            return
        falls = {
            name: math.log(step.losses[name] + _EPSILON) - math.log(step.losses_after[name] + _EPSILON)
            for name in names
        }
        weights = self._softmax(names)
        mean = sum(weights[name] * falls[name] for name in names)
        self._adam.step({name: weights[name] * (falls[name] - mean) for name in names})

    def state(self) -> dict[str, Any]:
        """Return the logits and Adam's moments."""
        return self._adam.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._adam.load_state(state)
