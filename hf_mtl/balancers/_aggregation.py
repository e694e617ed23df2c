"""One training's aggregation of gradients: an aggregator of torchjd, and what it remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from hf_mtl.balancers._aggregators import AggregatorRecipe
from hf_mtl.balancers._base import Step
from hf_mtl.balancers._memory import recall, remember
from hf_mtl.balancers._seeds import step_seed

__all__ = ["Aggregation"]


class Aggregation:
    """Aggregates the tasks' gradients, step by step; a stateful aggregator keeps its state here.

    Args:
        recipe: How the aggregator is built: `GradientBalancer.recipe`.
        tasks: Names of the tasks that have training rows, in the model's order.
    """

    def __init__(self, recipe: AggregatorRecipe, tasks: Sequence[str]) -> None:
        self._recipe, self._tasks = recipe, list(tasks)
        self._tensors: dict[str, Any] = {}
        self._built: Any = None

    @property
    def independent_subsets(self) -> int:
        """Into how many subsets the trainer must cut a step."""
        return self._recipe.independent_subsets

    def aggregate(
        self, step: Step, jacobian: torch.Tensor, subsets: Sequence[torch.Tensor] = ()
    ) -> tuple[torch.Tensor, dict[str, float] | None]:
        """Return the encoder's gradient of a step.

        Args:
            step: The step.
            jacobian: [T', P] the gradient of each task of ``step.shares``, in that order.
            subsets: Where `independent_subsets` is above 1, as many matrices [T', P] of gradients, each of some of the
                step's rows; empty where one of them lacks a task.

        Returns:
            The gradient [P], and each task's weight in it, or ``None`` where it is no weighted sum of the rows.
        """
        names = list(step.shares)
        # Row by row: of the whole matrix the check would make a copy.
        if len(names) < max(2, self._recipe.least_tasks) or not all(bool(row.isfinite().all()) for row in jacobian):
            return self._mean(names, jacobian)
        order = list(range(len(names)))
        if self._recipe.name == "pcd":
            primary = self._recipe.primary or self._tasks[0]
            if primary not in names:
                return self._mean(names, jacobian)
            order.sort(key=lambda row: names[row] != primary)
            names, jacobian = [names[row] for row in order], jacobian[order]
        if self.independent_subsets > 1 and len(subsets) < self.independent_subsets:
            return self._mean(names, jacobian)
        aggregator = self._aggregator(names, jacobian)
        devices = [jacobian.device] if jacobian.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(step_seed(step.seed, step.number))
            if self.independent_subsets > 1:
                # MoDo steps along the mean of both subsets, SDMGrad along a third that its weights never saw.
                weights = aggregator(subsets[0] @ subsets[1].T)
                jacobian = subsets[2] if len(subsets) > 2 else (subsets[0] + subsets[1]) / 2
            elif self._recipe.is_weighted:
                weights = aggregator.weighting(jacobian)
            else:
                return aggregator(jacobian), None
            return weights @ jacobian, dict(zip(names, weights.tolist(), strict=True))

    @staticmethod
    def _mean(names: Sequence[str], jacobian: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return jacobian.mean(0), dict.fromkeys(names, 1 / len(names))

    def _aggregator(self, names: Sequence[str], like: torch.Tensor) -> Any:
        if len(names) < len(self._tasks) or not self._recipe.is_stateful:
            return self._recipe.build(names, like)
        if self._built is None:
            self._built = self._recipe.build(names, like)
            if self._tensors:
                recall(self._built, self._tensors, like)
        return self._built

    def tensors(self) -> dict[str, Any]:
        """Return what a stateful aggregator remembers: tensors and numbers, kept beside the optimizer's state."""
        return self._tensors if self._built is None else remember(self._built)

    def load_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Take up what `tensors` returned; called before the first step."""
        self._tensors, self._built = cast(dict[str, Any], dict(tensors)), None
