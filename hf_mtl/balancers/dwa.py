"""Dynamic weight average: tasks whose losses fall slowly count more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hf_mtl._options import check_number
from hf_mtl.balancers._base import Balancer, State, Step, TaskFacts

__all__ = ["DynamicWeightAverage"]


@dataclass(frozen=True)
class DynamicWeightAverage(Balancer):
    r"""Weigh tasks by how their losses fell over the last two periods.

    .. math:: \lambda_t = T \, \frac{\exp(\rho_t / \tau)}{\sum_i \exp(\rho_i / \tau)}, \qquad
        \rho_t = \frac{\bar L_t(p - 1)}{\bar L_t(p - 2)}

    with :math:`\bar L_t(p)` the mean of the task's losses over the steps of period p that held it, and :math:`\rho_t =
    1` in the first two periods. A period is an epoch, as in the paper, or a number of steps. A task without a step in
    a period keeps its :math:`\rho_t`.

    Args:
        temperature: :math:`\tau`, above 0; the larger, the more alike the weights.
        interval: Length of a period in steps; ``None``: an epoch.

    Raises:
        ValueError: If an option is out of its range.

    Source: S. Liu, E. Johns, A. Davison, End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7.

    >>> balancer, tasks = DynamicWeightAverage(temperature=1.0, interval=1), [TaskFacts("slow"), TaskFacts("fast")]
    >>> state = balancer.begin(tasks)
    >>> for number, losses in enumerate([(1.0, 1.0), (0.9, 0.5)]):
    ...     state = balancer.learn(Step(number, 0, {}, dict(zip(("slow", "fast"), losses)), state=state))
    >>> weights = balancer.relative_weights(Step(2, 0, {"slow": 0.5, "fast": 0.5}, tasks=tasks, state=state))
    >>> {name: round(weight, 3) for name, weight in weights.items()}
    {'slow': 1.197, 'fast': 0.803}
    """

    observes_losses = True

    temperature: float = 2.0
    interval: int | None = None

    def __post_init__(self) -> None:
        check_number("Balancing 'dwa': temperature", self.temperature, 0, above=True)
        if self.interval is not None:
            check_number("Balancing 'dwa': interval", self.interval, 1, whole=True)

    def begin(self, tasks: Sequence[TaskFacts]) -> State:
        """Return an empty first period: no losses, no averages of periods before it."""
        return {
            "period": 0,
            "sums": {task.name: [0.0, 0] for task in tasks},
            "averages": {task.name: [] for task in tasks},
        }

    def _state(self, step: Step) -> State:
        """Return what is known in the step's period: where it is a new one, the last is closed."""
        period = step.epoch if self.interval is None else step.number // self.interval
        if period == step.state["period"]:
            return dict(step.state)
        averages = dict(step.state["averages"])
        for name, (total, count) in step.state["sums"].items():
            if count:
                averages[name] = [*averages[name], total / count][-2:]
        return {"period": period, "sums": {name: [0.0, 0] for name in averages}, "averages": averages}

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the weights of the step's period; over all tasks they add up to T."""
        averages = self._state(step)["averages"]
        # Bounded: a task that was learnt by heart, to a loss of 1e-320, say, has an infinite rate.
        rates = {task.name: min(_rate(averages[task.name]) / self.temperature, 1e300) for task in step.tasks}
        largest = max(rates.values())
        powers = {name: math.exp(rate - largest) for name, rate in rates.items()}
        total = sum(powers.values())
        return {name: len(powers) * powers[name] / total for name in step.shares}

    def learn(self, step: Step) -> State:
        """Add the step's losses to its period."""
        state = self._state(step)
        sums = dict(state["sums"])
        for name, loss in step.losses.items():
            total, count = sums[name]
            sums[name] = [total + loss, count + 1]
        return {**state, "sums": sums}


def _rate(averages: Sequence[float]) -> float:
    return averages[1] / averages[0] if len(averages) == 2 and averages[0] > 0 else 1.0
