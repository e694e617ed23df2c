"""Examples-proportional mixing with a limit: large datasets count as smaller ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.samplers._base import DatasetSampler, Shares, normalised

__all__ = ["CappedSampler"]


@dataclass(frozen=True)
class CappedSampler(DatasetSampler):
    r"""Draw datasets in proportion to their rows, as if none had more than ``limit`` of them.

    .. math:: p_d = \min(n_d, K)^{1/T} / \sum_e \min(n_e, K)^{1/T}

    Only the share is limited: all rows of a large dataset are drawn in their turn.

    Args:
        limit: The artificial limit K, in rows, at least 1.
        temperature: Flattening strength T after the limit, dimensionless, at least 1.

    Raises:
        ValueError: If an option is below 1.

    Source: C. Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer (T5),
    JMLR 21, 2020, section 3.5.2: examples-proportional mixing :math:`r_m = \min(e_m, K) / \sum \min(e_n, K)`, and
    the temperature on its rates.

    >>> CappedSampler(limit=300).probabilities({"trec": 100, "sst2": 60_000})
    array([0.25, 0.75])
    """

    limit: int = 2**16
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_number("limit", self.limit, 1)
        check_number("temperature", self.temperature, 1)

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares that the formula gives."""
        return normalised(np.minimum(list(sizes.values()), self.limit) ** (1 / self.temperature))
