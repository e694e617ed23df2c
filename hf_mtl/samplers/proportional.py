"""Proportional sampling: every row once an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl.samplers._base import DatasetSampler, Shares, normalised

__all__ = ["ProportionalSampler"]


@dataclass(frozen=True)
class ProportionalSampler(DatasetSampler):
    r"""Draw each dataset in proportion to its rows, :math:`p_d = n_d / \sum_e n_e`: every row once an epoch.

    >>> ProportionalSampler().probabilities({"trec": 100, "sst2": 300})
    array([0.25, 0.75])
    """

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return shares proportional to the sizes."""
        return normalised(np.array(list(sizes.values())))
