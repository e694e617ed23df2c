"""What a multi-task model returns: values nested by task name, never joined names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils.generic import ModelOutput

from hf_mtl.heads import HeadOutput

__all__ = ["MultiTaskOutput"]


@dataclass
class MultiTaskOutput(ModelOutput):
    """Losses and logits of one forward pass.

    Args:
        loss: Weighted sum of the tasks' losses, a scalar; ``None`` without labels.
        losses: For each task with labels in the batch: its mean loss an item, a scalar, in nats
            (squared standard deviations for regression). Items are tokens for tagging and masking, numbers for
            regression, rows otherwise.
        logits: For each task that was run: [R, C] for sequence heads, [R, L, C] for tagging, where R is the number
            of rows the head saw. Positions of padding hold 0. For masked tokens [m, V] of those that have a label or
            were asked for, row after row; of all tokens where neither is given, [R, L, V].
        last_hidden_state: The encoder's states [B, L, H]; zeros at padding where it was not computed;
            ``None`` with ``return_states=False``, as in the steps of a trainer.
        hidden_states: The states after each layer, each [B, L, H], if asked for; zeros likewise.
        attentions: The attention weights of each layer, if asked for.
        judged: For each task with labels the logits and labels that its loss is of, if asked for.
    """

    loss: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    logits: dict[str, torch.Tensor] | None = None
    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    judged: dict[str, HeadOutput] | None = None
