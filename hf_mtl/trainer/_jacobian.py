"""The gradient of each task of an optimizer step, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import nn

__all__ = ["StepJacobian"]


class StepJacobian:
    """Adds up, over a step's micro-batches, each task's gradient of the encoder, and each head's own gradient.

    Plain `torch.autograd.grad`, one backward pass a task over the graph of one forward pass. Gradients of the P
    parameters of the encoder lie in one matrix [T', P] of the parameters' type; those of heads in ``.grad``.

    Args:
        shared: The parameters of the encoder and its branches.
        heads: The head of each task.
        names: The tasks of the step.
        subsets: Into how many parts the step is cut; micro-batch i belongs to part i modulo ``subsets``.
    """

    def __init__(
        self, shared: Iterable[nn.Parameter], heads: Mapping[str, nn.Module], names: Sequence[str], subsets: int = 1
    ) -> None:
        self._parameters = [p for p in shared if p.requires_grad]
        self._heads = {name: [p for p in heads[name].parameters() if p.requires_grad] for name in names}
        self._rows = {name: row for row, name in enumerate(names)}
        total = sum(p.numel() for p in self._parameters)
        self._matrices = self._parameters[0].new_zeros(subsets, len(names), total)
        self._items = torch.zeros(subsets, len(names), dtype=torch.float64)
        # A parameter that no task reaches keeps no gradient, as in a plain backward pass.
        self._used = torch.zeros(len(self._parameters), dtype=torch.float64)
        self._batches = 0

    def add(self, losses: Mapping[str, torch.Tensor], items: Mapping[str, int]) -> None:
        """Add a micro-batch.

        Args:
            losses: Its part of each task's loss.
            items: The items that each loss is of.
        """
        subset = self._batches % len(self._matrices)
        self._batches += 1
        for number, (name, loss) in enumerate(losses.items()):
            head = self._heads[name]
            found = torch.autograd.grad(
                loss, [*self._parameters, *head], retain_graph=number + 1 < len(losses), allow_unused=True
            )
            row, start = self._matrices[subset, self._rows[name]], 0
            for index, (parameter, gradient) in enumerate(zip(self._parameters, found, strict=False)):
                if gradient is not None:
                    row[start : start + parameter.numel()] += gradient.flatten()
                    self._used[index] = 1.0
                start += parameter.numel()
            for parameter, gradient in zip(head, found[len(self._parameters) :], strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            self._items[subset, self._rows[name]] += items[name]

    def reduce(self, sum_over_ranks: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Add up the ranks' gradients: every rank then holds those of the whole step.

        Args:
            sum_over_ranks: Returns the sum of a tensor over ranks.
        """
        self._matrices = sum_over_ranks(self._matrices)
        self._items, self._used = sum_over_ranks(self._items), sum_over_ranks(self._used)
        # Each once: tasks may share a head.
        for parameter in dict.fromkeys(parameter for head in self._heads.values() for parameter in head):
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = sum_over_ranks(own)

    def whole(self) -> torch.Tensor:
        """Return the gradients of the whole step, [T', P]."""
        return self._matrices[0] if len(self._matrices) == 1 else self._matrices.sum(0)

    def subsets(self) -> list[torch.Tensor]:
        """Return the gradients of each part's own mean losses, [T', P] each; none where a part lacks a task."""
        if bool((self._items == 0).any()):
            return []
        shares = (self._items / self._items.sum(0)).to(self._matrices)
        return list(self._matrices / shares[:, :, None])

    def set_gradient(self, vector: torch.Tensor) -> None:
        """Give the encoder's parameters their gradients.

        Args:
            vector: [P].
        """
        gradients = vector.split([p.numel() for p in self._parameters])
        for parameter, gradient, used in zip(self._parameters, gradients, self._used.tolist(), strict=True):
            parameter.grad = gradient.view_as(parameter) if used else None
