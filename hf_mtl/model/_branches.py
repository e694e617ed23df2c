"""A model's branches: their layers, who reads them, and one pass through the trunk for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from hf_mtl.configuration import Modality, MultiTaskConfig, TaskConfig
from hf_mtl.encoder import TrunkPasses, copy_top, layer_depth, num_layers, with_top
from hf_mtl.heads import Head
from hf_mtl.model._task_modules import TaskModules

__all__ = ["BranchedModel", "build_branches"]

#: Arguments of an encoder by which it returns what its layers computed, which they must run for.
_RECORDING = ("output_hidden_states", "output_attentions")


def build_branches(encoder: PreTrainedModel, config: MultiTaskConfig) -> TaskModules:
    """Return the layers of each branch, copies of the encoder's top ones; a branch of 0 layers has none.

    Raises:
        ValueError: If the encoder's layers cannot exist more than once.
    """
    return TaskModules({name: copy_top(encoder, count) for name, count in (config.branches or {}).items() if count})


class BranchedModel(PreTrainedModel):
    """A model whose tasks may read their own top layers of the encoder."""

    config: MultiTaskConfig
    encoder: PreTrainedModel
    image_encoder: PreTrainedModel | None
    branches: TaskModules
    # The whole model has it.
    task_heads: Any

    def encoder_of(self, name: str) -> PreTrainedModel:
        """Return the encoder as a task's head reads it: with the layers of the task's branch, if it has one.

        It shares its parameters with this model. Where the task has a branch, it is a new object: make it again
        whenever it is needed.

        Args:
            name: The task.

        Raises:
            KeyError: If there is no such task.
        """
        branch = self._branch_of(self.config.task(name))
        if self.image_encoder is not None and self.task_heads[name].modality() == "image":
            return self.image_encoder
        return self.encoder if branch is None else with_top(self.encoder, self._top(branch))

    def parameter_depths(self) -> dict[nn.Parameter, int]:
        """Return the parameters of the encoder and its branches, and how deep each lies: 0 for the embeddings."""
        count = num_layers(self.encoder)
        depths = {parameter: layer_depth(name, count) for name, parameter in self.encoder.named_parameters()}
        for branch in self.branches:
            top = self._top(branch)
            for depth, layer in enumerate(top, start=count - len(top) + 1):
                depths.update(dict.fromkeys(layer.parameters(), depth))
        if self.image_encoder is not None:
            count = num_layers(self.image_encoder)
            depths.update((p, layer_depth(name, count)) for name, p in self.image_encoder.named_parameters())
        return depths

    def _passes(
        self, heads: Mapping[str, Head], kwargs: Mapping[str, Any], given: Sequence[Modality]
    ) -> Iterator[tuple[dict[str, Head], PreTrainedModel, bool]]:
        """Yield the heads that read the same layers, the encoder to run for them, and whether one reads lower layers.

        Without branches that is all heads of texts and their encoder, then all of pictures and theirs; heads of both
        come twice. Where several branches are read, the layers below them run in the first pass alone.

        Args:
            heads: The heads that are asked, by task.
            kwargs: Arguments of the encoder.
            given: What the batch holds; where no head is asked, the first encoder that reads some of it runs.
        """
        beside: dict[str, Head] = {}
        if self.image_encoder is not None:
            by_kind: dict[Modality, dict[str, Head]] = {
                kind: {name: head for name, head in heads.items() if kind in given and kind in head.modalities()}
                for kind in ("text", "image")
            }
            heads, beside = by_kind["text"], by_kind["image"]
            if not heads and (beside or given[0] == "image"):
                yield beside, self.image_encoder, any(head.reads_layers for head in beside.values())
                return
        # The encoder's own layers come first: what else it returns is then the same with and without branches.
        by_branch: dict[str | None, dict[str, Head]] = {None: {}}
        for name, head in heads.items():
            by_branch.setdefault(self._branch_of(head.task), {})[name] = head
        if not by_branch[None] and len(by_branch) > 1:
            del by_branch[None]
        is_recorded = any(head.reads_layers for head in heads.values()) or any(
            kwargs.get(name, getattr(self.encoder.config, name, False)) for name in _RECORDING
        )
        passes = TrunkPasses(self.encoder, reuse=len(by_branch) > 1 and not is_recorded)
        for branch, of_branch in by_branch.items():
            is_alone = branch is None and len(by_branch) == 1
            encoder = self.encoder if is_alone else passes.through([] if branch is None else self._top(branch))
            yield of_branch, encoder, any(head.reads_layers for head in of_branch.values())
        if self.image_encoder is not None and beside:
            yield beside, self.image_encoder, any(head.reads_layers for head in beside.values())

    def _branch_of(self, task: TaskConfig) -> str | None:
        """Return the branch whose layers a task reads; ``None``: the encoder's own."""
        return task.branch if task.branch is not None and task.branch in self.branches else None

    def _top(self, branch: str) -> list[nn.Module]:
        """Return the layers of a branch, lowest first."""
        return list(cast(nn.ModuleList, self.branches[branch]))
