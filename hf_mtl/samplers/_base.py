"""The contract of a sampler: each dataset's share of what is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Shares", "TaskSampler", "normalised"]

#: float64 [D]: a share in [0, 1] for each dataset, 1 in sum.
Shares = npt.NDArray[np.float64]


class TaskSampler(ABC):
    """Decides each dataset's share of the rows.

    In which order they are drawn is not its business: draws are spread evenly (`hf_mtl.samplers.Plan`), and a
    dataset's rows come in a new permutation each time it is used up (`hf_mtl.data.TaskBatchSampler`).

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

    def check(self, sizes: Mapping[str, int]) -> None:  # noqa: B027  # most strategies go by no names
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
