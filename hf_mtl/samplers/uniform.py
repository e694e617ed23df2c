"""Uniform sampling: all datasets equally often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl.samplers._base import DatasetSampler, Shares

__all__ = ["UniformSampler"]


@dataclass(frozen=True)
class UniformSampler(DatasetSampler):
    """Draw all D datasets equally often, whatever their sizes: p = 1 / D.

    >>> UniformSampler().probabilities({"trec": 100, "sst2": 300})
    array([0.5, 0.5])
    """

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return equal shares."""
        return np.full(len(sizes), 1 / len(sizes))
