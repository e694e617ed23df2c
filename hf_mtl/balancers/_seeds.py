"""Seeds of generators that a step, or a part of a model, owns."""

from __future__ import annotations

__all__ = ["step_seed"]


def step_seed(seed: int, number: int) -> int:
    """Return a generator's seed for a numbered thing, so that neighbouring seeds and numbers do not meet.

    Args:
        seed: The training's seed.
        number: Number of the step, or of the parameter.
    """
    return (seed * 0x9E3779B97F4A7C15 + number) % 2**63
