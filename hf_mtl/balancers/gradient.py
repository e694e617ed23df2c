"""Gradient methods: the tasks' gradients of the encoder become one, by an aggregator of torchjd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from hf_mtl.balancers._aggregators import AggregatorRecipe
from hf_mtl.balancers._base import Balancer, Step, TaskFacts
from hf_mtl.balancers._memory import recall, remember
from hf_mtl.balancers._seeds import step_seed

__all__ = ["GradientBalancer"]


class GradientBalancer(Balancer):
    r"""Aggregate the tasks' gradients of the encoder's parameters; each head learns from its own task alone.

    Row t of the matrix :math:`J \in \mathbb R^{T \times P}` is the gradient of :math:`\omega_t L_t`, summed over all
    micro-batches and ranks of the step, with :math:`\omega_t` the task's ``weight``. The encoder gets
    :math:`\mathcal A(J)`, once a step; a head gets its row's own part.

    A step that holds one task gives it its gradient as it is. A step that lacks some tasks is aggregated over those it
    holds; a stateful aggregator meets it with a fresh state, which is thrown away, and its own stays as it was. Where
    too few are left for an aggregator, the rows' mean is taken. Random numbers come from a generator keyed by (seed,
    step).

    Args:
        aggregator: The name of an aggregator of torchjd; `aggregator_names` lists them.
        options: Its arguments, see `hf_mtl.balancers.AggregatorRecipe`.

    Raises:
        ValueError: If the aggregator or an option is unknown, or a required one is missing.
        ImportError: If torchjd or a solver is missing.
    """

    requires_all_tasks = True

    def __init__(self, aggregator: str = "upgrad", **options: Any) -> None:
        self.recipe = AggregatorRecipe(aggregator, options)
        self._options = {"aggregator": aggregator, **options}
        self._tensors: dict[str, Any] = {}
        self._built: Any = None

    def options(self) -> dict[str, Any]:
        """Return the aggregator and the options that were given."""
        return dict(self._options)

    @property
    def independent_parts(self) -> int:
        """Into how many parts the trainer must cut a step; see `aggregate`."""
        return self.recipe.independent_parts

    def start(self, tasks: Sequence[TaskFacts], seed: int) -> None:
        """Check the options against the tasks and forget what was remembered."""
        super().start(tasks, seed)
        self.recipe.check_tasks([task.name for task in tasks])
        self._tensors, self._built = {}, None

    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return ones: what the rows of the matrix, and the heads, are weighed by besides the tasks' own weights."""
        return dict.fromkeys(step.shares, 1.0)

    def weights(self, step: Step) -> dict[str, float]:
        """Return the tasks' own weights."""
        own = {task.name: task.weight for task in self.tasks}
        return {name: own[name] for name in step.shares}

    def aggregate(
        self, step: Step, jacobian: torch.Tensor, parts: Sequence[torch.Tensor] = ()
    ) -> tuple[torch.Tensor, dict[str, float] | None]:
        """Return the encoder's gradient of a step.

        Args:
            step: The step.
            jacobian: [T', P] the gradient of each task of ``step.shares``, in that order.
            parts: Where `independent_parts` is above 1, as many matrices [T', P] of gradients, each of a part of the
                step's rows; empty where a part lacks a task.

        Returns:
            The gradient [P], and each task's weight in it, or ``None`` where it is no weighted sum of the rows.
        """
        names = list(step.shares)
        # Row by row: of the whole matrix the check would make a copy.
        if len(names) < max(2, self.recipe.least_tasks) or not all(bool(row.isfinite().all()) for row in jacobian):
            return self._mean(names, jacobian)
        order = list(range(len(names)))
        if self.recipe.name == "pcd":
            primary = self.recipe.primary or self.tasks[0].name
            if primary not in names:
                return self._mean(names, jacobian)
            order.sort(key=lambda row: names[row] != primary)
            names, jacobian = [names[row] for row in order], jacobian[order]
        if self.independent_parts > 1 and len(parts) < self.independent_parts:
            return self._mean(names, jacobian)
        aggregator = self._aggregator(names, jacobian)
        devices = [jacobian.device] if jacobian.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad():
            torch.manual_seed(step_seed(self.seed, step.number))
            if self.independent_parts > 1:
                # MoDo steps along the mean of both subsets, SDMGrad along a third that its weights never saw.
                weights = aggregator(parts[0] @ parts[1].T)
                jacobian = parts[2] if len(parts) > 2 else (parts[0] + parts[1]) / 2
            elif self.recipe.is_weighted:
                weights = aggregator.weighting(jacobian)
            else:
                return aggregator(jacobian), None
            return weights @ jacobian, dict(zip(names, weights.tolist(), strict=True))

    @staticmethod
    def _mean(names: Sequence[str], jacobian: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return jacobian.mean(0), dict.fromkeys(names, 1 / len(names))

    def _aggregator(self, names: Sequence[str], like: torch.Tensor) -> Any:
        if len(names) < len(self.tasks) or not self.recipe.is_stateful:
            return self.recipe.build(names, like)
        if self._built is None:
            self._built = self.recipe.build(names, like)
            if self._tensors:
                recall(self._built, self._tensors, like)
        return self._built

    def tensors(self) -> dict[str, Any]:
        """Return what a stateful aggregator remembers: tensors and numbers, kept beside the optimizer's state."""
        return self._tensors if self._built is None else remember(self._built)

    def load_tensors(self, tensors: Mapping[str, Any]) -> None:
        """Take up what `tensors` returned; called after `start`."""
        self._tensors, self._built = cast(dict[str, Any], dict(tensors)), None
