"""Rows to one padded batch: tokenised here, in one go, by the fast tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig
from hf_mtl.encoders import longest_text
from hf_mtl.heads import Head, LabelError
from hf_mtl_light.encoding import Row, check_tokenizer, encode_rows, padding_id, word_map_of
from hf_mtl_light.words import WordMap

__all__ = ["MultiTaskCollator", "longest_input"]

#: Where neither the tokenizer nor the encoder has a limit; far above what any machine computes at once.
_NO_LIMIT = 2**20


def longest_input(tokenizer: PreTrainedTokenizerBase, encoder_config: Any) -> int:
    """Return the most tokens a row may have: what both the tokenizer and the encoder's positions allow."""
    positions = longest_text(encoder_config)
    return int(min(tokenizer.model_max_length, _NO_LIMIT if positions is None else positions))


class MultiTaskCollator:
    """Turns rows of any datasets into one batch for `MultiTaskModel`.

    Rows are padded on the right, whatever side the tokenizer is set to: learned positions count from the left. A
    tokenizer without a padding token pads with its end of text, which says so once; padding is never attended to. A
    row without any token, as tokenizers that add none make of an empty text, is one token of padding that is.

    Args:
        tokenizer: A fast tokenizer.
        tasks: The model's tasks.
        heads: The head class of each task.
        max_length: The most tokens a row may have; longer ones are truncated.
        pad_to_multiple_of: Round the batch's length up to a multiple of it.

    Raises:
        ValueError: If the tokenizer is not a fast one, or has no token to pad with.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        tasks: Sequence[TaskConfig],
        heads: Mapping[str, type[Head]],
        max_length: int = 512,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        check_tokenizer(tokenizer)
        self.pad_token_id = padding_id(tokenizer)
        self.tokenizer = tokenizer
        self.tasks = list(tasks)
        self.heads = dict(heads)
        self.max_length = max_length
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return a batch: padded inputs, and labels and row numbers by task.

        Raises:
            ValueError: If a label does not fit; the message names dataset, row and task.
        """
        inputs, words = self.encode(rows)
        labels, numbers = self.encode_labels(rows, words)
        return {**inputs, "labels": labels, "rows": numbers}

    def encode_labels(
        self, rows: Sequence[Row], words: Sequence[WordMap]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return, for each task that labels some of the rows, its label tensor and the numbers of those rows.

        Raises:
            ValueError: If a label does not fit; the message names dataset, row and task.
        """
        labels, numbers = {}, {}
        for task in self.tasks:
            chosen = [i for i, row in enumerate(rows) if task.name in row.labels]
            if not chosen:
                continue
            values = [rows[i].labels[task.name] for i in chosen]
            try:
                labels[task.name] = self.heads[task.name].encode_labels(task, values, [words[i] for i in chosen])
            except LabelError as error:
                row = rows[chosen[error.row]]
                raise ValueError(f"Dataset {row.dataset!r}, row {row.index}, task {task.name!r}: {error}") from None
            numbers[task.name] = torch.tensor(chosen)
        return labels, numbers

    def encode(self, rows: Sequence[Row]) -> tuple[dict[str, torch.Tensor], list[WordMap]]:
        """Tokenise rows of any kind and pad them to one length L.

        Returns:
            The encoder's inputs, each [B, L] int64, and what became of each row's words.
        """
        encodings, names = encode_rows(self.tokenizer, rows, truncation=True, max_length=self.max_length)
        length = max(1, max(len(encoding.ids) for encoding in encodings))
        if self.pad_to_multiple_of:
            length = -(-length // self.pad_to_multiple_of) * self.pad_to_multiple_of
        source = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        filler = {
            "input_ids": self.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        inputs = {
            name: torch.tensor(
                [self._pad(getattr(encoding, source[name]), filler[name], length) for encoding in encodings]
            )
            for name in names
        }
        if "attention_mask" in inputs:
            mask = inputs["attention_mask"]
            mask[mask.sum(1) == 0, 0] = 1
        words = [self._word_map(row, encoding, length) for row, encoding in zip(rows, encodings, strict=True)]
        return inputs, words

    def _pad(self, values: Sequence[Any], filler: Any, length: int) -> list[Any]:
        return [*values, *[filler] * (length - len(values))]

    def _word_map(self, row: Row, encoding: Any, length: int) -> WordMap:
        word_ids: list[int | None] = list(encoding.word_ids)
        if row.text_pair is not None:
            sequences = encoding.sequence_ids
            word_ids = [w if s == 0 else None for w, s in zip(word_ids, sequences, strict=True)]
        offsets = [] if isinstance(row.text, list) else self._pad(encoding.offsets, (0, 0), length)
        return word_map_of(row, self._pad(word_ids, None, length), offsets)
