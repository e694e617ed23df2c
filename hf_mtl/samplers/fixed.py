"""Fixed sampling: shares given by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hf_mtl._names import listed, nearest
from hf_mtl._options import check_number
from hf_mtl.samplers._base import Shares, TaskSampler, normalised

__all__ = ["FixedSampler", "check_names", "check_shares", "shares_by_name"]


@dataclass(frozen=True)
class FixedSampler(TaskSampler):
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


def shares_by_name(shares: Mapping[str, float], sizes: Mapping[str, int]) -> Shares:
    """Return shares in the order of the datasets, 1 in sum."""
    return normalised(np.array([float(shares[name]) for name in sizes]))


def check_shares(where: str, shares: object) -> None:
    """Check what is given as shares.

    Args:
        where: The option, for messages.
        shares: Dataset -> share.

    Raises:
        ValueError: If it is no mapping to numbers of at least 0, one of them above 0.
    """
    if not isinstance(shares, Mapping) or not shares:
        raise ValueError(f"{where} must be a mapping such as {{'sst2': 0.7, 'trec': 0.3}}, found {shares!r}.")
    for name, share in shares.items():
        check_number(f"{where}[{name!r}]", share, 0)
    if not any(shares.values()):
        raise ValueError(f"{where}: all are 0, so nothing would be drawn. Give one dataset more.")


def check_names(
    where: str, named: Mapping[str, object], sizes: Mapping[str, int], *, all_of_them: bool = False
) -> None:
    """Check an option's dataset names.

    Args:
        where: The option, for messages.
        named: What is given for each dataset.
        sizes: The datasets that there are.
        all_of_them: Whether each must be named.

    Raises:
        ValueError: If one is unknown, or missing.
    """
    for name in named:
        if name not in sizes:
            raise ValueError(
                f"{where} names {name!r}, which is no training dataset.{nearest(str(name), sizes)} "
                f"Datasets: {listed(sizes)}."
            )
    missing = [name for name in sizes if name not in named]
    if all_of_them and missing:
        raise ValueError(f"{where} names no share for {listed(missing)}. Give one to each dataset; 0 leaves it out.")
