"""What holds for every strategy: how many rows a dataset counts for, its weight, and where an epoch ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_mtl._names import listed, nearest
from hf_mtl._options import Configurable, check_number
from hf_mtl.samplers._base import DatasetSampler, Shares, check_names, normalised
from hf_mtl_light.errors import UserError

__all__ = ["EXHAUSTED", "SamplingRules"]

EXHAUSTED = ("repeat", "stop-at-first", "stop-at-last")


@dataclass(frozen=True)
class SamplingRules(Configurable):
    """Options that go with any strategy.

    Args:
        exhausted: Where an epoch ends: ``"repeat"``: after as many rows as the datasets have together, whichever of
            them are used up before and start again; ``"stop-at-first"``: when the first dataset is used up;
            ``"stop-at-last"``: when the last one is.
        max_rows: Dataset -> the most of its rows that are used: a random choice of them, the same in every epoch.
        weights: Dataset -> factor of its share, at least 0; 1 for those that are not named.

    Raises:
        ValueError: If a value is wrong, or, once the datasets are known, a name.
    """

    exhausted: str = "repeat"
    max_rows: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.exhausted not in EXHAUSTED:
            raise UserError(
                f"exhausted must be one of {listed(EXHAUSTED)}, found {self.exhausted!r}."
                f"{nearest(str(self.exhausted), EXHAUSTED)}"
            )
        for where, named in (("max_rows", self.max_rows), ("weights", self.weights)):
            if not isinstance(named, Mapping):
                raise UserError(f"{where} must be a mapping such as {{'sst2': 1000}}, found {named!r}.")
        for name, rows in self.max_rows.items():
            check_number(f"max_rows[{name!r}]", rows, 1, whole=True)
        for name, weight in self.weights.items():
            check_number(f"weights[{name!r}]", weight, 0)

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        default = SamplingRules()
        return {name: value for name, value in super().options().items() if value != getattr(default, name)}

    def check(self, sizes: Mapping[str, int]) -> None:
        """Check the names of datasets.

        Raises:
            ValueError: If one is unknown.
        """
        check_names("max_rows", self.max_rows, sizes)
        check_names("weights", self.weights, sizes)

    def limited(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return each dataset's rows that are used."""
        return {name: min(size, self.max_rows.get(name, size)) for name, size in sizes.items()}

    def weighted(self, sampler: DatasetSampler, sizes: Mapping[str, int], shares: Shares) -> Shares:
        r"""Return what a sampler gave as shares times the weights, :math:`p_d w_d / \sum_e p_e w_e`.

        Raises:
            ValueError: If it gave anything but shares, or nothing is left.
        """
        is_right = np.shape(shares) == (len(sizes),) and np.all(shares >= 0) and abs(float(np.sum(shares)) - 1) < 1e-6
        if not is_right:
            raise UserError(
                f"{type(sampler).__name__} must give each of {len(sizes)} datasets a share of at least 0, 1 in sum, "
                f"found {np.asarray(shares).tolist()!r:.200}."
            )
        if not self.weights:
            return shares
        found = shares * np.array([self.weights.get(name, 1.0) for name in sizes])
        if found.sum() <= 0:
            raise UserError("weights: they leave no dataset a share. Give one of them more.")
        return normalised(found)

    def shares(self, sampler: DatasetSampler, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares from a step on, weights included.

        Args:
            sampler: The strategy.
            sizes: Rows of each dataset, `limited`.
            step: First step of a stage.
            steps: Steps of the whole training.
        """
        return self.weighted(sampler, sizes, sampler.probabilities(sizes, step, steps))

    def epoch_rows(self, sampler: DatasetSampler, sizes: Mapping[str, int]) -> int:
        r"""Return the rows that an epoch draws.

        A dataset is used up after :math:`n_d / p_d` rows of all, so the first after the least of these, the last
        after the greatest, among datasets with a share.
        """
        if self.exhausted == "repeat":
            return sum(sizes.values())
        shares = self.shares(sampler, sizes)
        drawn = shares > 0
        lengths = np.array(list(sizes.values()))[drawn] / shares[drawn]
        # Off a whole number by a rounding error, they mean that number.
        if self.exhausted == "stop-at-first":
            return int(lengths.min() * (1 + 1e-12))
        return math.ceil(float(lengths.max()) * (1 - 1e-12))
