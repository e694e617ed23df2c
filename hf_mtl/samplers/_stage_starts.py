"""Where stages of equal length start."""

from __future__ import annotations

__all__ = ["equal_starts"]


def equal_starts(stages: int, steps: int) -> list[int]:
    """Return the first step of each stage: where ``step * stages // steps`` changes.

    Args:
        stages: Number of stages, no more than steps are used.
        steps: Steps of the whole training.

    >>> equal_starts(3, 8)
    [0, 3, 6]
    """
    stages = min(stages, steps)
    return [-(-number * steps // stages) for number in range(stages)]
