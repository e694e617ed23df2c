"""Sampling by difficulty: draw more of the datasets whose scores are far below what they could reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hf_mtl._options import check_number
from hf_mtl.samplers._adaptive import AdaptiveSampler, Observation, State, as_list, from_list, mixed_in
from hf_mtl.samplers._base import Shares, check_names, normalised
from hf_mtl_light.errors import UserError

__all__ = ["DifficultySampler"]


@dataclass(frozen=True)
class DifficultySampler(AdaptiveSampler):
    r"""Draw datasets in proportion to how far their validation scores are below reference scores.

    .. math:: p_d = (1 - \epsilon) \frac{g_d}{\sum_e g_e} + \frac{\epsilon}{D}, \qquad
              g_d = \max(\text{reference}_d - \text{score}_d, 0)

    with the latest scores. Equal shares until there are scores, and where no dataset lags; a dataset without a score
    counts as the mean of the others.

    Args:
        interval: Steps of a stage, at least 1.
        references: Dataset -> the score that it should reach, in the unit of its tasks' main metrics: that of a model
            trained on it alone, say. 1 for those that are not named.
        mixing: The part :math:`\epsilon` of uniform sampling, in [0, 1]. At 0, the paper's, a dataset that has reached
            its reference is drawn no more until its score falls.

    Raises:
        ValueError: If an option is out of its range, or, once the datasets are known, a name is none of theirs.

    Source: A. Gottumukkala, D. Dua, S. Singh, M. Gardner, Dynamic Sampling Strategies for Multi-Task Reading
    Comprehension, ACL 2020, section 3.1, dynamic sampling.
    """

    needs_scores: ClassVar[bool] = True
    references: Mapping[str, float] = field(default_factory=dict)
    mixing: float = 0.0

    def __post_init__(self) -> None:
        check_number("interval", self.interval, 1, whole=True)
        check_number("mixing", self.mixing, 0, 1)
        if not isinstance(self.references, Mapping):
            raise UserError(f"references must be a mapping such as {{'sst2': 0.9}}, found {self.references!r}.")
        for name, score in self.references.items():
            check_number(f"references[{name!r}]", score, -np.inf)

    def check(self, sizes: Mapping[str, int]) -> None:
        """Check the names of datasets.

        Raises:
            ValueError: If one is unknown.
        """
        check_names("references", self.references, sizes)

    def begin(self, sizes: Mapping[str, int]) -> State:
        """Return the references; scores are not known yet."""
        references = [float(self.references.get(name, 1.0)) for name in sizes]
        return {"references": references, "scores": [None] * len(references)}

    def learn(self, state: State, seen: Observation) -> State:
        """Return the state with the latest scores."""
        scores = np.where(np.isnan(seen.scores), from_list(state["scores"]), seen.scores)
        return {**state, "scores": as_list(scores)}

    def choose(self, state: State, key: tuple[int, int]) -> Shares:
        """Return shares by the gaps; nothing is random."""
        gaps = np.maximum(from_list(state["references"]) - from_list(state["scores"]), 0)
        known = gaps[~np.isnan(gaps)]
        if not known.sum() > 0:
            return np.full(len(gaps), 1 / len(gaps))
        return mixed_in(normalised(np.where(np.isnan(gaps), known.mean(), gaps)), self.mixing)
