"""A micro-batch of a step under way, as training methods see it: its losses, and further passes over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from hf_mtl.encoder import FlatLayout
from hf_mtl.heads import Head
from hf_mtl.model import MultiTaskModel
from hf_mtl.training_methods._perturbation import perturbed, uniform_noise

__all__ = ["MicroBatch"]


@dataclass(frozen=True)
class MicroBatch:
    """A micro-batch, after its plain pass.

    Args:
        model: The model itself.
        heads: The head of each task that labels some rows here and that the method takes.
        first: What the plain pass returned, a `MultiTaskOutput` with its `judged` logits and labels.
        weights: The factor of each task's loss, the balancer's.
        num_items: For each task its items in the whole step, over all micro-batches and ranks.
        step: Number of the optimizer step, from 0.
        seed: The training's seed.
        inputs: What the plain pass was given.
        forward: Runs the model as the trainer does.
        replay: Sets the random state back to that before the plain pass, for the time of a context.
        taught: For each task what `TrainingMethod.taught_rows` put in the place of its labels, as
            `Head.encode_labels` made it.
    """

    model: MultiTaskModel
    heads: Mapping[str, Head]
    first: Any
    weights: Mapping[str, float]
    num_items: Mapping[str, torch.Tensor]
    step: int
    seed: int
    inputs: Mapping[str, Any]
    forward: Callable[[dict[str, Any]], Any]
    replay: Callable[[], AbstractContextManager[None]]
    taught: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def of_tasks(self, heads: Mapping[str, Head]) -> MicroBatch:
        """Return the same micro-batch for other tasks."""
        return replace(self, heads=heads)

    @property
    def losses(self) -> dict[str, torch.Tensor]:
        """Each task's loss in the plain pass, its part of the mean over the step."""
        return {name: self.first.losses[name] for name in self.heads}

    @cached_property
    def layout(self) -> FlatLayout:
        """Where the N tokens of the rows lie."""
        ids = self.inputs["input_ids"]
        mask = self.inputs.get("attention_mask")
        return FlatLayout.from_mask(torch.ones_like(ids) if mask is None else mask)

    def flat(self, name: str, labels: torch.Tensor) -> torch.Tensor:
        """Return labels of a task's rows as its loss takes them: of tokens [n, ...] in place of [R, L, ...]."""
        head, judged = self.heads[name], (self.first.judged or {})[name]
        if head.level != "token":
            return labels
        ids = self.inputs["input_ids"]
        if len(judged.labels) == labels.shape[0] * labels.shape[1]:
            return labels.flatten(0, 1)
        mask = self.inputs.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        return FlatLayout.from_mask(mask[self.inputs["rows"][name]]).flatten(labels)

    def again(self, delta: torch.Tensor | None = None, *, same_dropout: bool = True) -> Any:
        """Run the model over the micro-batch once more; the random numbers of later passes stay as they were.

        Args:
            delta: [N, H] added to the embeddings of the N tokens; ``None``: nothing.
            same_dropout: Whether dropout is that of the plain pass; else it is drawn again, from the stream.
        """
        chosen = {key: {n: v for n, v in self.inputs[key].items() if n in self.heads} for key in ("labels", "rows")}
        with ExitStack() as contexts:
            if same_dropout:
                contexts.enter_context(self.replay())
            if delta is not None:
                contexts.enter_context(perturbed(self.model, self.layout, delta))
            return self.forward({**self.inputs, **chosen, "return_judged": True})

    def weighted(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the sum of losses of the tasks, each times its weight, a scalar."""
        return torch.stack([self.weights[name] * losses[name].double() for name in self.heads]).sum()

    def divergences(self, other: Any, of: Any = None) -> dict[str, torch.Tensor]:
        """Return how far each task's answers of two passes differ, each its part of the mean over the step.

        Args:
            other: What `again` returned.
            of: The pass that it is compared with; ``None``: the plain one.
        """
        found = {}
        for name, head in self.heads.items():
            one, two = (output.judged[name] for output in (self.first if of is None else of, other))
            with torch.autocast(one.logits.device.type, enabled=False):
                total = head.divergence_sum(one.logits, two.logits, one.labels)
            found[name] = total / self.num_items[name].to(total)
        return found

    @property
    def _table(self) -> torch.Tensor:
        """The matrix of token embeddings, [V, H]."""
        weight = self.model.get_input_embeddings().weight
        assert isinstance(weight, torch.Tensor)
        return weight.detach()

    def zeros(self) -> torch.Tensor:
        """Return the perturbation that changes nothing, [N, H]."""
        return self._table.new_zeros(len(self.layout.index), self._table.shape[1])

    def noise(self, epsilon: float, scope: str, salt: str) -> torch.Tensor:
        """Return noise for the embeddings of the N tokens, [N, H], drawn for each row from seed, step and its tokens.

        Args:
            epsilon: The largest norm that it can have.
            scope: What has that norm: ``"row"`` or ``"token"``.
            salt: Names the method, so that each has its own.
        """
        ids = self.layout.flatten(self.inputs["input_ids"])
        key = f"{salt}/{self.seed}/{self.step}"
        return uniform_noise(key, ids, self.layout, self._table, epsilon, scope)
