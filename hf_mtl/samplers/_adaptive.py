"""The contract of samplers that learn from the training which datasets to draw."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hf_mtl.samplers._base import DatasetSampler, Shares

__all__ = ["AdaptiveSampler", "Observation", "State", "as_list", "from_list", "mixed_in"]

#: What a sampler has learnt: numbers, texts, lists and dicts, as JSON holds them.
State = dict[str, Any]


@dataclass(frozen=True)
class Observation:
    """What happened in a stage; NaN where nothing was seen of a dataset.

    Args:
        losses: float64 [D]: mean training loss of each dataset's steps, over all ranks.
        scores: float64 [D]: validation score since the last observation.
        drawn: float64 [D]: each dataset's part of the draws.
        shares: float64 [D]: its share, of which ``drawn`` is the rounded count.
    """

    losses: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    drawn: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]


@dataclass(frozen=True)
class AdaptiveSampler(DatasetSampler):
    """Decides the shares of each stage of ``interval`` steps from what was observed before.

    A sampler itself remembers nothing: what it has learnt goes in and out as JSON, and into checkpoints.
    """

    #: Whether it learns from validation scores, and so needs evaluations while training.
    needs_scores: ClassVar[bool] = False
    interval: int = 50

    @property
    def is_constant(self) -> bool:
        """Never: training decides the shares."""
        return False

    def probabilities(self, sizes: Mapping[str, int], step: int = 0, steps: int = 1) -> Shares:
        """Return the shares before anything was observed: equal ones."""
        return np.full(len(sizes), 1 / len(sizes))

    @abstractmethod
    def begin(self, sizes: Mapping[str, int]) -> State:
        """Return what is known at the start.

        Args:
            sizes: Rows of each dataset, by name.
        """

    @abstractmethod
    def learn(self, state: State, seen: Observation) -> State:
        """Return what is known after a stage."""

    @abstractmethod
    def choose(self, state: State, key: tuple[int, int]) -> Shares:
        """Return the shares of a stage.

        Args:
            state: What is known.
            key: (seed, number of the stage): seeds whatever is random in the choice.
        """


def mixed_in(shares: Shares, mixing: float) -> Shares:
    r"""Return :math:`(1 - \epsilon) p + \epsilon / D`: every dataset keeps a small share.

    Args:
        shares: float64 [D].
        mixing: The part :math:`\epsilon` that is uniform, in [0, 1].
    """
    return (1 - mixing) * shares + mixing / len(shares)


def as_list(values: npt.NDArray[np.float64]) -> list[float | None]:
    """Return numbers as JSON holds them; ``None`` for NaN, which JSON lacks."""
    return [None if value != value else value for value in values.tolist()]


def from_list(values: list[float | None]) -> npt.NDArray[np.float64]:
    """Return numbers as an array; NaN for ``None``."""
    return np.array(values, dtype=np.float64)
