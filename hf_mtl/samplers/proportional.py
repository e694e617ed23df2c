"""Proportional sampling: every row once an epoch."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl.samplers._base import TaskSampler

__all__ = ["ProportionalSampler"]


class ProportionalSampler(TaskSampler):
    """Draw each dataset in proportion to its rows: every row once an epoch.

    >>> ProportionalSampler().shares([100, 300])
    [0.25, 0.75]
    """

    def draws(self, sizes: Sequence[int]) -> list[int]:
        """Return the sizes themselves."""
        return list(sizes)
