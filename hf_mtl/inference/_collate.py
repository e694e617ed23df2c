"""Batches of labelled rows, for a trainer that scores and answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import MultiTaskCollator, Row, longest_input
from hf_mtl.modeling import MultiTaskModel
from hf_mtl_light.words import WordMap

__all__ = ["EncodedRows", "RowsCollator", "checked_length", "make_collator"]


@dataclass(frozen=True)
class EncodedRows:
    """A batch for inference.

    Args:
        rows: The rows.
        words: What became of each row's words.
        inputs: The encoder's inputs, each [B, L].
        labels: Labels by task, as training takes them.
        numbers: For each task the rows that have a label of it.
    """

    rows: Sequence[Row]
    words: Sequence[WordMap]
    inputs: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    numbers: dict[str, torch.Tensor]


class RowsCollator:
    """Collates rows into `EncodedRows`: what a `DataLoader` needs to hand rows and tensors on together."""

    def __init__(self, collator: MultiTaskCollator) -> None:
        self.collator = collator

    def __call__(self, rows: Sequence[Row]) -> EncodedRows:
        """Return the rows, their tensors and their words."""
        inputs, words = self.collator.encode(rows)
        labels, numbers = self.collator.encode_labels(rows, words)
        return EncodedRows(rows, words, inputs, labels, numbers)


def checked_length(model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int:
    """Return the most tokens of a row: as many as asked for, or as the model and its tokenizer take.

    Raises:
        ValueError: If ``max_length`` is more than that.
    """
    longest = longest_input(tokenizer, model.config.encoder_config)
    if max_length is not None and not 3 <= max_length <= longest:
        raise ValueError(f"max_length must lie between 3 and {longest}, the most this model takes; found {max_length}.")
    return max_length or longest


def make_collator(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None = None, **kwargs: Any
) -> MultiTaskCollator:
    """Return the collator that fits a model: its tasks, its heads, and no more tokens than it has positions.

    Raises:
        ValueError: If ``max_length`` is more than the model or the tokenizer takes.
    """
    heads = {name: type(head) for name, head in model.task_heads.items()}
    return MultiTaskCollator(tokenizer, model.tasks, heads, checked_length(model, tokenizer, max_length), **kwargs)
