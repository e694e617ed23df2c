"""Batches of labelled rows, for a trainer that scores and answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import EncodedBatch, MultiTaskCollator, Row, check_vocabulary, longest_input
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.encoding import can_read
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading

__all__ = ["InferenceBatch", "InferenceCollator", "checked_length", "make_collator"]


@dataclass(frozen=True)
class InferenceBatch:
    """A batch for inference.

    Args:
        rows: The rows.
        batch: What the encoder is given of them.
        labels: Labels by task, as training takes them.
        numbers: For each task the encoder's rows of the rows that have a label of it.
    """

    rows: Sequence[Row]
    batch: EncodedBatch
    labels: dict[str, torch.Tensor]
    numbers: dict[str, torch.Tensor]

    def labelled(self, task: str) -> list[int]:
        """Return the numbers of the rows that have a label of a task."""
        return [i for i, row in enumerate(self.rows) if task in row.labels]


class InferenceCollator:
    """Collates rows into `InferenceBatch`: what a `DataLoader` needs to pass on rows and tensors together.

    Args:
        collator: Tokenises rows and encodes their labels.
        answers: Whether all tasks will be answered for all rows, or labels scored alone. Then texts are read as they
            are, and not masked for tasks of masked tokens.
    """

    def __init__(self, collator: MultiTaskCollator, answers: bool = False) -> None:
        self.collator = collator
        self.masks = not answers
        asked: set[Reading] = {head.reads for head in collator.heads.values()} if answers else set()
        self.asked = sorted(asked)

    def __call__(self, rows: Sequence[Row]) -> InferenceBatch:
        """Return the rows, their tensors and their words."""
        readings = [
            self.collator.readings(row).union(name for name in self.asked if can_read(row, name)) for row in rows
        ]
        batch = self.collator.read(rows, readings)
        labels, numbers = self.collator.encode_labels(rows, batch, self.masks)
        return InferenceBatch(rows, batch, labels, numbers)


def checked_length(model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int:
    """Return the most tokens of a row: as many as asked for, or as the model and its tokenizer take.

    Raises:
        ValueError: If ``max_length`` is more than that, or the tokenizer is not one of this encoder: see
            `hf_mtl.data.check_vocabulary`.
    """
    embeddings: Any = model.get_input_embeddings()
    check_vocabulary(tokenizer, embeddings.weight.shape[0], model.config.vocabulary)
    longest = longest_input(tokenizer, model.config.encoder_config)
    if max_length is not None and not 3 <= max_length <= longest:
        raise UserError(f"max_length must lie between 3 and {longest}, the most this model takes; found {max_length}.")
    return max_length or longest


def make_collator(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase | None, max_length: int | None = None, **kwargs: Any
) -> MultiTaskCollator:
    """Return the collator that fits a model: its tasks, its heads, and no more tokens than it has positions.

    Raises:
        ValueError: If ``max_length`` is more than the model or the tokenizer takes.
    """
    heads = {name: type(head) for name, head in model.task_heads.items()}
    length = 0 if tokenizer is None else checked_length(model, tokenizer, max_length)
    return MultiTaskCollator(tokenizer, model.tasks, heads, length, **kwargs)
