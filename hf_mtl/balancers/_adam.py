"""Adam on a few numbers, one a task, in float64 on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ScalarAdam"]


@dataclass(frozen=True)
class ScalarAdam:
    r"""Move named numbers against their gradients; a number without a gradient keeps its value and moments.

    .. math::
        g &\leftarrow g + \gamma x, \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        x &\leftarrow x - \eta \, \frac{m / (1 - \beta_1^k)}{\sqrt{v / (1 - \beta_2^k)} + 10^{-8}}

    with :math:`\beta_1 = 0.9`, :math:`\beta_2 = 0.999` and k the number's own steps: what ``torch.optim.Adam`` does.

    What it knows goes in and out as JSON.

    Args:
        learning_rate: :math:`\eta`, at least 0.
        weight_decay: :math:`\gamma`, at least 0.

    Source: D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1.

    >>> adam = ScalarAdam(learning_rate=0.1)
    >>> state = adam.step(adam.begin(["a", "b"]), {"a": 2.0})
    >>> {name: round(value, 6) for name, value in state["values"].items()}
    {'a': -0.1, 'b': 0.0}
    """

    learning_rate: float
    weight_decay: float = 0.0

    def begin(self, names: Sequence[str]) -> dict[str, Any]:
        """Return numbers of 0, their moments and steps.

        Args:
            names: The numbers' names.
        """
        return {
            "values": dict.fromkeys(names, 0.0),
            "moments": {name: [0.0, 0.0] for name in names},
            "steps": dict.fromkeys(names, 0),
        }

    def step(self, state: Mapping[str, Any], gradients: Mapping[str, float]) -> dict[str, Any]:
        """Return the state after a step of the numbers whose gradients are given.

        Args:
            state: What `begin`, or the step before, returned.
            gradients: The gradient of each number that moves.
        """
        values, moments, steps = (dict(state[key]) for key in ("values", "moments", "steps"))
        for name, gradient in gradients.items():
            gradient = gradient + self.weight_decay * values[name]
            steps[name] += 1
            first, second = moments[name]
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            moments[name] = [first, second]
            mean = first / (1 - 0.9 ** steps[name])
            scale = math.sqrt(second / (1 - 0.999 ** steps[name])) + 1e-8
            values[name] -= self.learning_rate * mean / scale
        return {"values": values, "moments": moments, "steps": steps}
