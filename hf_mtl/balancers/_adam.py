"""Adam on a few numbers, one a task, in float64 on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["ScalarAdam"]


class ScalarAdam:
    r"""Move named numbers against their gradients; a number without a gradient keeps its value and moments.

    .. math::
        g &\leftarrow g + \gamma x, \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        x &\leftarrow x - \eta \, \frac{m / (1 - \beta_1^k)}{\sqrt{v / (1 - \beta_2^k)} + 10^{-8}}

    with :math:`\beta_1 = 0.9`, :math:`\beta_2 = 0.999` and k the number's own steps: what ``torch.optim.Adam`` does.

    Args:
        values: The numbers at the start.
        learning_rate: :math:`\eta`, at least 0.
        weight_decay: :math:`\gamma`, at least 0.

    Source: D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1.

    >>> adam = ScalarAdam({"a": 0.0, "b": 0.0}, learning_rate=0.1)
    >>> adam.step({"a": 2.0})
    >>> {name: round(value, 6) for name, value in adam.values.items()}
    {'a': -0.1, 'b': 0.0}
    """

    def __init__(self, values: Mapping[str, float], learning_rate: float, weight_decay: float = 0.0) -> None:
        self.values = dict(values)
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._moments = {name: [0.0, 0.0] for name in values}
        self._steps = dict.fromkeys(values, 0)

    def step(self, gradients: Mapping[str, float]) -> None:
        """Move the numbers whose gradients are given.

        Args:
            gradients: The gradient of each number that moves.
        """
        for name, gradient in gradients.items():
            gradient = gradient + self._weight_decay * self.values[name]
            self._steps[name] += 1
            first, second = self._moments[name]
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            self._moments[name] = [first, second]
            mean = first / (1 - 0.9 ** self._steps[name])
            scale = math.sqrt(second / (1 - 0.999 ** self._steps[name])) + 1e-8
            self.values[name] -= self._learning_rate * mean / scale

    def state(self) -> dict[str, Any]:
        """Return values, moments and steps, as JSON knows them."""
        return {
            "values": dict(self.values),
            "moments": {name: list(pair) for name, pair in self._moments.items()},
            "steps": dict(self._steps),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` returned."""
        self.values = dict(state["values"])
        self._moments = {name: list(pair) for name, pair in state["moments"].items()}
        self._steps = dict(state["steps"])
