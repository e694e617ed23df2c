"""The contract of a sampler: how many rows an epoch draws from each dataset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

__all__ = ["TaskSampler"]


class TaskSampler(ABC):
    """Decides how often each dataset is drawn.

    The order of the draws is not its business: they are spread evenly over the epoch, and rows come in a new
    permutation each time a dataset is used up (`hf_mtl.data.TaskBatchSampler`).
    """

    @abstractmethod
    def draws(self, sizes: Sequence[int]) -> list[int]:
        """Return the number of rows that one epoch draws from each dataset.

        Args:
            sizes: Rows of each dataset.
        """

    def shares(self, sizes: Sequence[int]) -> list[float]:
        """Return each dataset's share of an epoch's rows, in [0, 1]; they sum to 1."""
        draws = self.draws(sizes)
        return [count / sum(draws) for count in draws]
