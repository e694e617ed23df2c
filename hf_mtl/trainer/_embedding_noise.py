"""Noise on the embeddings while training (NEFTune), scaled by each row's own length, padded or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from hf_mtl.encoder import token_lookups

__all__ = ["EmbeddingNoise"]


class EmbeddingNoise(TrainerCallback):
    r"""Adds uniform noise to the embeddings while training.

    Each number of a token's embedding gets its own, from

    .. math:: \pm \frac{\alpha}{\sqrt{L H}}

    where L is the number of tokens of the token's own row. Transformers' hook takes for L the length of the batch,
    which is the longest row's where rows are padded and that of all rows together where they are not.

    Args:
        unwrap: Takes off what distributed training wraps around a model.

    Source: N. Jain et al., NEFTune: Noisy Embeddings Improve Instruction Finetuning, ICLR 2024, algorithm 1.
    """

    def __init__(self, unwrap: Callable[[nn.Module], Any]) -> None:
        self._unwrap = unwrap
        self._handles: list[Any] = []
        #: L for each embedding that is about to be looked up, broadcast over [B, L, H] or [1, N, H].
        self._lengths: torch.Tensor | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Hang the noise onto the model that is about to be trained, which may be a trial's own."""
        self._take_away()  # of a training that ended in an error
        if args.neftune_noise_alpha is None:
            return
        model = self._unwrap(kwargs["model"])
        alpha = float(args.neftune_noise_alpha)

        def note(module: nn.Module, inputs: Any, given: dict[str, Any]) -> None:
            self._lengths = row_lengths(given)

        def add(module: nn.Module, inputs: Any, embedded: torch.Tensor) -> torch.Tensor:
            if not module.training or self._lengths is None:
                return embedded
            bound = alpha / torch.sqrt(self._lengths.to(embedded.dtype) * embedded.shape[-1])
            return embedded + torch.empty_like(embedded).uniform_(-1, 1) * bound

        self._handles = [
            model.encoder.register_forward_pre_hook(note, with_kwargs=True),
            *(module.register_forward_hook(add) for module in token_lookups(model.encoder)),
        ]

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the noise away."""
        self._take_away()

    def _take_away(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._lengths = [], None


def row_lengths(inputs: dict[str, Any]) -> torch.Tensor:
    """Return for each token of an encoder's batch how many tokens its row has.

    Args:
        inputs: What the encoder is called with: padded rows and their ``attention_mask``, or one row of all tokens and
            where each begins.

    Returns:
        [B, 1, 1], or [1, N, 1] where rows lie end to end.
    """
    ids = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
    rows = inputs.get("rows")
    offsets = inputs.get("cu_seq_lens_q") if rows is None else rows.offsets
    if offsets is not None:
        lengths = offsets.diff()
        each = torch.repeat_interleave(lengths, lengths)
        # Tokens without meaning may follow the rows.
        filler = each.new_ones(ids.shape[1] - len(each))
        return torch.cat([each, filler])[None, :, None]
    mask = inputs.get("attention_mask")
    if mask is None:
        return torch.full((ids.shape[0], 1, 1), ids.shape[1], device=ids.device)
    of_rows: torch.Tensor = mask.ne(0).sum(1).clamp(min=1)
    return of_rows[:, None, None]
