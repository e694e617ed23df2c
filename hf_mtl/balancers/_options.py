"""Checks of balancers' options."""

from __future__ import annotations

import math

__all__ = ["check_number"]


def check_number(method: str, name: str, value: object, *, above: float | None = None, least: float = 0.0) -> float:
    """Return a finite number of at least ``least``, or above ``above`` where that is given.

    Args:
        method: The balancer.
        name: The option.
        value: What was given.
        above: The number that it must be greater than.
        least: The least number allowed.

    Raises:
        ValueError: If it is none.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if is_number and (value > above if above is not None else value >= least):  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    expected = f"above {above:g}" if above is not None else f"of at least {least:g}"
    raise ValueError(f"Balancing {method!r}: {name} must be a number {expected}, found {value!r}.")
