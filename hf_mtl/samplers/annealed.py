"""Annealed sampling: from proportional towards uniform in the course of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.samplers._base import DatasetSampler, Shares, normalised
from hf_mtl.samplers._stage_starts import equal_starts

__all__ = ["AnnealedSampler"]


@dataclass(frozen=True)
class AnnealedSampler(DatasetSampler):
    r"""Draw datasets with probability proportional to ``size ** exponent``; the exponent falls during training.

    .. math:: p_d \propto n_d^{\alpha_s}, \qquad \alpha_s = a + (b - a) \frac{s}{S - 1}

    over S equal stages, s = 0 .. S - 1. With one stage an epoch these are the paper's steps, where
    :math:`\alpha = 1 - 0.8 (e - 1) / (E - 1)` in epoch e of E.

    Args:
        start: First exponent a, dimensionless, in [0, 1]; 1 is proportional.
        end: Last exponent b, in [0, 1]; 0 is uniform.
        stages: Stages S, at least 1; as many as the training has steps, if those are fewer.

    Raises:
        ValueError: If an option is out of its range.

    Source: A. C. Stickland, I. Murray, BERT and PALs: Projected Attention Layers for Efficient Adaptation in
    Multi-Task Learning, ICML 2019, section 3.3, annealed sampling.

    >>> sampler = AnnealedSampler(stages=3)
    >>> [
    ...     sampler.probabilities({"trec": 100, "sst2": 400}, step, steps=9).round(3).tolist()
    ...     for step in sampler.starts(9)
    ... ]
    [[0.2, 0.8], [0.303, 0.697], [0.431, 0.569]]
    """

    start: float = 1.0
    end: float = 0.2
    stages: int = 256

    def __post_init__(self) -> None:
        check_number("start", self.start, 0, 1)
        check_number("end", self.end, 0, 1)
        check_number("stages", self.stages, 1, 1000, whole=True)

    @property
    def is_constant(self) -> bool:
        """Whether there is one stage."""
        return self.stages == 1

    def starts(self, steps: int) -> list[int]:
        """Return the starts of equal stages."""
        return equal_starts(self.stages, steps)

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares of the stage that a step belongs to."""
        stages = min(self.stages, steps)
        number = min(step * stages // steps, stages - 1)
        exponent = self.start + (self.end - self.start) * number / max(stages - 1, 1)
        return normalised(np.array(list(sizes.values())) ** exponent)
