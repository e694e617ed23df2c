"""The items of a whole optimizer step, so that its loss does not depend on how it was cut into batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import MultiTaskCollator
from hf_mtl.heads import Head
from hf_mtl_light.encoding import Row

__all__ = ["STREAM_STATES", "CountingCollator", "Reduce", "StepCounts", "StepLog", "StepRecord", "count_batch"]

#: In a batch: where the streams of its rows can be read from again, by name of the dataset.
STREAM_STATES = "stream_states"
#: Sums a float64 tensor over ranks.
Reduce: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def count_batch(
    batch: Mapping[str, Any], heads: Mapping[str, type[Head]], labelled: Sequence[Collection[str]]
) -> list[list[int]]:
    """Count a batch's items while it is still on the CPU: asking a GPU would make it wait.

    Args:
        batch: What the collator made.
        heads: The head class of each task, in the model's order.
        labelled: For each row of the datasets the tasks that label it; the encoder may have several rows for it.

    Returns:
        [T + 1, 2] numbers: the items and the rows of each task, then 0 and the rows that any task labels.
    """
    labels = batch["labels"]
    counts = [
        [int(head.count_items(labels[name])), sum(name in names for names in labelled)] if name in labels else [0, 0]
        for name, head in heads.items()
    ]
    return [*counts, [0, sum(any(name in labels for name in names) for names in labelled)]]


class CountingCollator:
    """Adds to a batch its counts, for the loss, and the names of its rows' datasets, for the log.

    Args:
        collator: Turns rows into a batch.
        taught_rows: Gives rows what they are taught beside their labels; ``None``: nothing.
    """

    def __init__(
        self,
        collator: MultiTaskCollator,
        taught_rows: Callable[[Sequence[Row]], Sequence[Row] | None] | None = None,
    ) -> None:
        self._collator, self._taught_rows = collator, taught_rows

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        taught = None if self._taught_rows is None else self._taught_rows(rows)
        batch = self._collator(rows) if taught is None else self._collator(rows, taught)
        counts = count_batch(batch, self._collator.heads, [row.labels for row in rows])
        states = getattr(rows, "stream_states", None)
        added = {"counts": counts, "datasets": [row.dataset for row in rows]}
        return {**batch, **added, **({STREAM_STATES: states} if states else {})}


@dataclass(frozen=True)
class StepCounts:
    """What an optimizer step holds, over all its micro-batches and all ranks.

    Args:
        num_items: For each task its labelled items, at least 1, float64 scalars.
        shares: For each task with rows its share of the labelled rows, in (0, 1].
    """

    num_items: dict[str, torch.Tensor]
    shares: dict[str, float]

    @classmethod
    def add_up(
        cls, batches: Sequence[Sequence[Sequence[int]]], tasks: Sequence[TaskConfig], reduce: Reduce
    ) -> StepCounts:
        """Add up a step's micro-batches.

        Args:
            batches: What `count_batch` returned for each micro-batch of this rank.
            tasks: The model's tasks.
            reduce: Sums a float64 tensor over ranks.
        """
        counts = reduce(torch.tensor(batches, dtype=torch.float64).sum(0))
        rows = counts[-1, 1].clamp(min=1)
        return cls(
            num_items={task.name: counts[i, 0].clamp(min=1) for i, task in enumerate(tasks)},
            shares={task.name: float(counts[i, 1] / rows) for i, task in enumerate(tasks) if counts[i, 1] > 0},
        )


class StepRecord:
    """What an optimizer step holds and its losses so far: one sum, read by the log, the balancer and the sampler.

    Args:
        counts: The step's items and shares, over all ranks.
        datasets: The dataset of each row of this rank.
        reduce: Sums a float64 tensor over ranks.
    """

    def __init__(self, counts: StepCounts, datasets: Sequence[str], reduce: Reduce) -> None:
        self.counts = counts
        self.datasets = list(datasets)
        #: For each task this rank's part of its mean loss so far, float64 scalars.
        self.losses: dict[str, torch.Tensor] = {}
        self._reduce = reduce
        self._means: dict[str, float] | None = None

    @classmethod
    def of_batches(cls, batches: Sequence[dict[str, Any]], tasks: Sequence[TaskConfig], reduce: Reduce) -> StepRecord:
        """Take out of a step's micro-batches what `CountingCollator` added, and add it up.

        Args:
            batches: This rank's micro-batches.
            tasks: The model's tasks.
            reduce: Sums a float64 tensor over ranks.
        """
        datasets = [name for batch in batches for name in batch.pop("datasets")]
        return cls(StepCounts.add_up([batch.pop("counts") for batch in batches], tasks, reduce), datasets, reduce)

    def add_losses(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Add a micro-batch's losses: each is its part of the task's mean over the step."""
        for name, loss in losses.items():
            own = loss.detach().double()
            self.losses[name] = self.losses[name] + own if name in self.losses else own
        self._means = None

    def means(self) -> dict[str, float]:
        """Return each task's mean loss, over all micro-batches so far and all ranks; every rank has to ask."""
        if self._means is None:
            losses = [float(self.losses.get(name, 0.0)) for name in self.counts.shares]
            sums = self._reduce(torch.tensor(losses, dtype=torch.float64)).tolist()
            self._means = dict(zip(self.counts.shares, sums, strict=True))
        return self._means


class StepLog:
    """Adds up, between two logs, each task's loss and weight, and the rows drawn from each dataset."""

    def __init__(self) -> None:
        self._losses: dict[str, torch.Tensor] = {}
        self._weights: Counter[str] = Counter()
        self._weighed: Counter[str] = Counter()
        self._steps: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()

    def add_step(self, record: StepRecord, weights: Mapping[str, float]) -> None:
        """Add a step that is over.

        Args:
            record: What it held.
            weights: The factor of each task's mean loss, the same on all ranks.
        """
        self._rows.update(record.datasets)
        self._steps.update(list(record.counts.shares))
        for name, own in record.losses.items():
            self._losses[name] = self._losses[name] + own if name in self._losses else own
        for name, weight in weights.items():
            self._weights[name] += weight  # type: ignore[assignment]  # sums are numbers, too
            self._weighed[name] += 1

    def take(self, names: Sequence[str], datasets: Sequence[str], reduce: Reduce) -> dict[str, float]:
        """Return what was added up, and start from nothing.

        It is ``loss/<task>`` and ``weight/<task>``, means over the steps with the task, and ``rows/<dataset>``.

        Args:
            names: All tasks: every rank reduces the same ones.
            datasets: All datasets.
            reduce: Sums a float64 tensor over ranks.
        """
        losses = torch.tensor([float(self._losses.get(name, 0.0)) for name in names], dtype=torch.float64)
        rows = torch.tensor([self._rows[name] for name in datasets], dtype=torch.float64)
        sums = reduce(torch.cat([losses, rows])).tolist()
        taken = {
            f"loss/{name}": value / self._steps[name]
            for name, value in zip(names, sums, strict=False)
            if self._steps[name]
        }
        taken.update(
            {f"weight/{name}": self._weights[name] / self._weighed[name] for name in names if self._weighed[name]}
        )
        taken.update({f"rows/{name}": value for name, value in zip(datasets, sums[len(names) :], strict=True)})
        for sums_so_far in (self._losses, self._steps, self._weights, self._weighed, self._rows):
            sums_so_far.clear()
        return taken
