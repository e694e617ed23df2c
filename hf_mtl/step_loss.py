"""The items of a whole optimizer step, so that its loss does not depend on how it was cut into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hf_mtl.heads import Head

__all__ = ["StepCounts", "StepLog"]


@dataclass(frozen=True)
class StepCounts:
    """What an optimizer step holds, over all its micro-batches and all ranks.

    Args:
        num_items: For each task its labelled items, at least 1, float64 scalars.
        loss_weights: For each task the factor of its mean loss: its weight times its share of the labelled rows.
    """

    num_items: dict[str, torch.Tensor]
    loss_weights: dict[str, torch.Tensor]

    @classmethod
    def count(cls, batches: Sequence[Mapping[str, Any]], heads: Mapping[str, Head], reduce: Any) -> StepCounts:
        """Count a step's items and rows.

        Args:
            batches: The micro-batches of this rank, as the collator made them.
            heads: The model's heads.
            reduce: Sums a float64 tensor over ranks.
        """
        # Counts [T + 1, 2]: items and rows of each task, and the labelled rows of all.
        counts = torch.zeros(len(heads) + 1, 2, dtype=torch.float64)
        for batch in batches:
            for i, (name, head) in enumerate(heads.items()):
                if name in batch["labels"]:
                    counts[i, 0] += head.count_items(batch["labels"][name]).cpu()
                    counts[i, 1] += len(batch["labels"][name])
            labelled = [numbers.cpu() for numbers in batch["rows"].values()]
            counts[-1, 1] += len(torch.cat(labelled).unique()) if labelled else 0
        counts = reduce(counts)
        rows = counts[-1, 1].clamp(min=1)
        return cls(
            num_items={name: counts[i, 0].clamp(min=1) for i, name in enumerate(heads)},
            loss_weights={name: head.task.weight * counts[i, 1] / rows for i, (name, head) in enumerate(heads.items())},
        )


class StepLog:
    """Adds up, between two logs, each task's loss and the rows drawn from each dataset."""

    def __init__(self) -> None:
        self._losses: dict[str, torch.Tensor] = {}
        self._steps: dict[str, int] = {}
        self._rows: dict[str, int] = {}

    def start_step(self, counts: StepCounts) -> None:
        """Note which tasks take part in a step."""
        for name, weight in counts.loss_weights.items():
            if weight > 0:
                self._steps[name] = self._steps.get(name, 0) + 1

    def add_rows(self, datasets: Sequence[str]) -> None:
        """Note the dataset of each row of a batch."""
        for name in datasets:
            self._rows[name] = self._rows.get(name, 0) + 1

    def add_losses(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Note each task's loss of a micro-batch: its part of the step's mean."""
        for name, loss in losses.items():
            self._losses[name] = self._losses.get(name, torch.zeros_like(loss)) + loss.detach()

    def take(self, names: Sequence[str], datasets: Sequence[str], reduce: Any) -> dict[str, float]:
        """Return ``loss/<task>`` (mean over the steps with the task) and ``rows/<dataset>``, and start anew.

        Args:
            names: All tasks: every rank reduces the same ones.
            datasets: All datasets.
            reduce: Sums a float64 tensor over ranks.
        """
        losses = torch.tensor([float(self._losses.get(name, 0.0)) for name in names], dtype=torch.float64)
        rows = torch.tensor([self._rows.get(name, 0) for name in datasets], dtype=torch.float64)
        sums = reduce(torch.cat([losses, rows])).tolist()
        taken = {
            f"loss/{name}": value / self._steps[name]
            for name, value in zip(names, sums, strict=False)
            if self._steps.get(name)
        }
        taken.update({f"rows/{name}": value for name, value in zip(datasets, sums[len(names) :], strict=True)})
        self.__init__()  # type: ignore[misc]  # a new log in the place of this one
        return taken
