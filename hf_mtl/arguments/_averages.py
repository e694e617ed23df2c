"""Which averages of the weights over the steps there are, and their options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hf_mtl._names import listed, nearest
from hf_mtl._options import Configurable, check_number, check_option_names, parsed_options
from hf_mtl_light.errors import UserError

__all__ = ["AVERAGES", "ExponentialAverage", "TailAverage", "WeightAverage", "make_average"]


class WeightAverage(Configurable):
    r"""How the weights of steps become one: :math:`a_t = a_{t-1} + w_t (\theta_t - a_{t-1})`."""

    kind: ClassVar[str]

    def start(self, steps: int) -> int:
        """Return the number of steps that are left out at the beginning of a training.

        Args:
            steps: All steps of the training.
        """
        return 0

    def step_weight(self, step: int, start: int) -> float:
        """Return w, in (0, 1], of a step.

        Args:
            step: The step, from 1.
            start: How many steps were left out.
        """
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the kind and all options, as the arguments take them."""
        return {"kind": self.kind, **self.options()}


@dataclass(frozen=True)
class ExponentialAverage(WeightAverage):
    r"""An exponential moving average: :math:`w_t = 1 - \min(d, (1 + t) / (10 + t))`.

    The decay begins low, so that the weights before the training are soon forgotten.

    Args:
        decay: d, in [0, 1); at 0 the average is the last step's weights.

    Source: B. Polyak, A. Juditsky, Acceleration of stochastic approximation by averaging, SIAM J. Control Optim.
    30(4), 1992; the rising decay is that of TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.

    >>> round(ExponentialAverage(decay=0.999).step_weight(1, 0), 3), ExponentialAverage(0.5).step_weight(100, 0)
    (0.818, 0.5)
    """

    kind: ClassVar[str] = "ema"
    decay: float = 0.999

    def __post_init__(self) -> None:
        check_number("average: decay", self.decay, 0, 1)
        if self.decay == 1:
            raise UserError("average: decay must be below 1, found 1: the weights before the training would stay.")

    def step_weight(self, step: int, start: int) -> float:
        """Return w of a step."""
        return 1 - min(float(self.decay), (1 + step) / (10 + step))


@dataclass(frozen=True)
class TailAverage(WeightAverage):
    r"""The mean over the last steps: :math:`w_t = 1 / (t - s)` after :math:`s = \lfloor f T \rfloor` of T steps.

    Args:
        begin: f, the fraction of the steps after which the mean begins, in [0, 1); the option is called ``from``.

    Source: P. Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, UAI 2018, algorithm
    1 with a cycle of one step.

    >>> TailAverage(0.67).start(100), TailAverage(0.67).step_weight(69, 67), TailAverage().options()
    (67, 0.5, {'from': 0.67})
    """

    kind: ClassVar[str] = "tail"
    begin: float = 0.67

    def __post_init__(self) -> None:
        check_number("average: from", self.begin, 0, 1)
        if self.begin == 1:
            raise UserError("average: from must be below 1, found 1: no step would be averaged.")

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options."""
        return ["from"]

    def options(self) -> dict[str, Any]:
        """Return all options."""
        return {"from": self.begin}

    def start(self, steps: int) -> int:
        """Return s."""
        return math.floor(self.begin * steps)

    def step_weight(self, step: int, start: int) -> float:
        """Return w of a step."""
        return 1 / (step - start)


#: Kind -> average.
AVERAGES: dict[str, type[ExponentialAverage] | type[TailAverage]] = {"ema": ExponentialAverage, "tail": TailAverage}


def make_average(given: Mapping[str, Any] | str | None) -> WeightAverage | None:
    """Return how weights are averaged; ``None``: they are not.

    Args:
        given: ``kind``, and besides it the options of the kind; a mapping or its JSON.

    Raises:
        UserError: If the kind or an option is unknown, or a value is out of its range.

    >>> make_average({"kind": "tail", "from": 0.5})
    TailAverage(begin=0.5)
    """
    values = parsed_options("average", given)
    if not values:
        return None
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in AVERAGES:
        raise UserError(
            f"average: kind must be one of {listed(AVERAGES)}, found {kind!r}.{nearest(str(kind), AVERAGES)}"
        )
    made = AVERAGES[kind]
    check_option_names(f"average of kind {kind!r}", values, made.option_names())
    # "from" is no name that Python takes.
    return made(**{"begin" if name == "from" else name: value for name, value in values.items()})
