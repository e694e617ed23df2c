"""Fixed sampling: shares given by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_mtl.samplers._base import DatasetSampler, Shares, check_names, check_shares, shares_by_name

__all__ = ["FixedSampler"]


@dataclass(frozen=True)
class FixedSampler(DatasetSampler):
    """Draw each dataset as often as is said, whatever its size.

    Args:
        shares: Dataset -> its share, at least 0. They need not sum to 1: each is divided by their sum.

    Raises:
        ValueError: If a share is negative or all are 0, or, once the datasets are known, if a name does not fit.

    >>> FixedSampler({"sst2": 1, "trec": 3}).probabilities({"trec": 100, "sst2": 300})
    array([0.75, 0.25])
    """

    shares: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shares("shares", self.shares)

    def check(self, sizes: Mapping[str, int]) -> None:
        """Check that every dataset, and nothing else, has a share.

        Raises:
            ValueError: If not.
        """
        check_names("shares", self.shares, sizes, all_of_them=True)

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the given shares, divided by their sum."""
        return shares_by_name(self.shares, sizes)
