"""Dynamic weight average: tasks whose losses fall slowly count more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl._options import check_number
from hf_mtl.balancers._base import Balancer, Step, TaskFacts

__all__ = ["DynamicWeightAverage"]


@dataclass(eq=False)
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

    >>> balancer = DynamicWeightAverage(temperature=1.0, interval=1)
    >>> balancer.start([TaskFacts("slow"), TaskFacts("fast")], seed=0)
    >>> for number, losses in enumerate([(1.0, 1.0), (0.9, 0.5)]):
    ...     balancer.update(Step(number, 0, {}, dict(zip(("slow", "fast"), losses))))
    >>> weights = balancer.relative_weights(Step(2, 0, {"slow": 0.5, "fast": 0.5}))
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

    def start(self, tasks: Sequence[TaskFacts], seed: int) -> None:
        """Forget all losses."""
        super().start(tasks, seed)
        self._period = 0
        self._sums = {task.name: [0.0, 0] for task in tasks}
        self._averages: dict[str, list[float]] = {task.name: [] for task in tasks}

    def _close(self, step: Step) -> None:
        """Close the period that has ended before this step."""
        period = step.epoch if self.interval is None else step.number // self.interval
        if period == self._period:
            return
        self._period = period
        for name, (total, count) in self._sums.items():
            if count:
                self._averages[name] = [*self._averages[name], total / count][-2:]
            self._sums[name] = [0.0, 0]

    def _rate(self, name: str) -> float:
        averages = self._averages[name]
        return averages[1] / averages[0] if len(averages) == 2 and averages[0] > 0 else 1.0

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return the weights of the step's period; over all tasks they add up to T."""
        self._close(step)
        rates = {task.name: self._rate(task.name) / self.temperature for task in self.tasks}
        largest = max(rates.values())
        powers = {name: math.exp(rate - largest) for name, rate in rates.items()}
        total = sum(powers.values())
        return {name: len(powers) * powers[name] / total for name in step.shares}

    def update(self, step: Step) -> None:
        """Note the step's losses."""
        self._close(step)
        for name, loss in step.losses.items():
            total, count = self._sums[name]
            self._sums[name] = [total + loss, count + 1]

    def state(self) -> dict[str, Any]:
        """Return the averages, and the sums of the current period."""
        return {
            "period": self._period,
            "sums": {name: list(pair) for name, pair in self._sums.items()},
            "averages": {name: list(values) for name, values in self._averages.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self._period = state["period"]
        self._sums = {name: list(pair) for name, pair in state["sums"].items()}
        self._averages = {name: list(values) for name, values in state["averages"].items()}
