"""The contract of a sampler: each dataset's share of what is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_mtl._names import listed, nearest
from hf_mtl._options import Configurable, check_number
from hf_mtl_light.errors import UserError

__all__ = ["DatasetSampler", "Shares", "check_names", "check_shares", "normalised", "shares_by_name"]

#: float64 [D]: a share in [0, 1] for each dataset, 1 in sum.
Shares = npt.NDArray[np.float64]


class DatasetSampler(Configurable, ABC):
    """Decides each dataset's share of the rows.

    The order in which they are drawn is another matter: draws are spread evenly (`hf_mtl.samplers.plan`), and a
    dataset's rows come in a new permutation each time it is used up (`hf_mtl.data.MixtureBatchSampler`).

    Subclasses are frozen dataclasses; their fields are the strategy's options.
    """

    @abstractmethod
    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares from an optimizer step on.

        Args:
            sizes: Rows of each dataset, by name.
            step: First step of a stage, from 0: one of those that `starts` returns.
            steps: Steps of the whole training.

        Returns:
            float64 [D], in the order of ``sizes``.
        """

    def starts(self, steps: int) -> list[int]:
        """Return the optimizer steps at which shares change, rising from 0: a few hundred at most.

        Args:
            steps: Steps of the whole training.
        """
        return [0]

    @property
    def is_constant(self) -> bool:
        """Whether shares never change, however long the training: so it is where a subclass leaves `starts` alone."""
        return type(self).starts is DatasetSampler.starts

    def check(self, sizes: Mapping[str, int]) -> None:  # most strategies go by no names
        """Check options that name datasets.

        Args:
            sizes: Rows of each dataset, by name.

        Raises:
            ValueError: If a name is unknown, or one is missing.
        """


def normalised(weights: npt.NDArray[Any]) -> Shares:
    """Return weights, of which one must be above 0, divided by their sum.

    >>> normalised(np.array([1, 3]))
    array([0.25, 0.75])
    """
    shares: Shares = weights / weights.sum()
    return shares


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
        raise UserError(f"{where} must be a mapping such as {{'sst2': 0.7, 'trec': 0.3}}, found {shares!r}.")
    for name, share in shares.items():
        check_number(f"{where}[{name!r}]", share, 0)
    if not any(shares.values()):
        raise UserError(f"{where}: all are 0, so nothing would be drawn. Give one dataset more.")


def check_names(
    where: str, named: Mapping[str, object], sizes: Mapping[str, int], *, all_of_them: bool = False
) -> None:
    """Check an option's dataset names.

    Args:
        where: The option, for messages.
        named: What is given for each dataset.
        sizes: All datasets.
        all_of_them: Whether each must be named.

    Raises:
        ValueError: If one is unknown, or missing.
    """
    for name in named:
        if name not in sizes:
            raise UserError(
                f"{where} names {name!r}, which is no training dataset.{nearest(str(name), sizes)} "
                f"Datasets: {listed(sizes)}."
            )
    missing = [name for name in sizes if name not in named]
    if all_of_them and missing:
        raise UserError(f"{where} names no share for {listed(missing)}. Give one to each dataset; 0 leaves it out.")
