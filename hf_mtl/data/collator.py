"""Rows to one padded batch: tokenised here, in one go, by the fast tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig
from hf_mtl.data.columns import Row
from hf_mtl.heads import Head, LabelError
from hf_mtl.words import WordMap

__all__ = ["MultiTaskCollator", "longest_input"]


def longest_input(tokenizer: PreTrainedTokenizerBase, encoder_config: Any) -> int:
    """Return the most tokens a row may have: what both the tokenizer and the position embeddings allow."""
    positions = getattr(encoder_config, "max_position_embeddings", None) or 512
    # RoBERTa-like embeddings begin to count behind the padding index.
    if "roberta" in encoder_config.model_type or encoder_config.model_type in ("camembert", "mpnet", "longformer"):
        positions -= (encoder_config.pad_token_id or 0) + 1
    return int(min(tokenizer.model_max_length, positions))


class MultiTaskCollator:
    """Turns rows of any datasets into one batch for `MultiTaskModel`.

    Args:
        tokenizer: A fast tokenizer.
        tasks: The model's tasks.
        heads: The head class of each task.
        max_length: The most tokens a row may have; longer ones are truncated.
        pad_to_multiple_of: Round the batch's length up to a multiple of it.

    Raises:
        ValueError: If the tokenizer is not a fast one, or has no padding token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        tasks: Sequence[TaskConfig],
        heads: Mapping[str, type[Head]],
        max_length: int = 512,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{type(tokenizer).__name__} is not a fast tokenizer, so words and tokens cannot be matched. "
                "Load it with AutoTokenizer.from_pretrained(name), which needs a tokenizer.json or a conversion."
            )
        if tokenizer.pad_token_id is None:
            raise ValueError(
                f"{type(tokenizer).__name__} has no padding token. Set one: tokenizer.pad_token = tokenizer.eos_token."
            )
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
        encodings: list[Any] = [None] * len(rows)
        # The tokenizer takes one kind of input at a time: texts, pairs, or words.
        kinds: dict[tuple[bool, bool], list[int]] = {}
        for i, row in enumerate(rows):
            kinds.setdefault((isinstance(row.text, list), row.text_pair is not None), []).append(i)
        names: list[str] = []
        for (is_split, is_pair), chosen in kinds.items():
            batch = self.tokenizer(
                [rows[i].text for i in chosen],
                text_pair=[rows[i].text_pair for i in chosen] if is_pair else None,
                is_split_into_words=is_split,
                truncation=True,
                max_length=self.max_length,
            )
            names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch]
            for i, encoding in zip(chosen, batch.encodings, strict=True):
                encodings[i] = encoding
        length = max(len(encoding.ids) for encoding in encodings)
        if self.pad_to_multiple_of:
            length = -(-length // self.pad_to_multiple_of) * self.pad_to_multiple_of
        source = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        filler = {
            "input_ids": self.tokenizer.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.tokenizer.pad_token_type_id,
        }
        inputs = {
            name: torch.tensor(
                [self._pad(getattr(encoding, source[name]), filler[name], length) for encoding in encodings]
            )
            for name in names
        }
        words = [self._word_map(row, encoding, length) for row, encoding in zip(rows, encodings, strict=True)]
        return inputs, words

    def _pad(self, values: Sequence[Any], filler: Any, length: int) -> list[Any]:
        padding = [filler] * (length - len(values))
        return [*values, *padding] if self.tokenizer.padding_side == "right" else [*padding, *values]

    def _word_map(self, row: Row, encoding: Any, length: int) -> WordMap:
        word_ids: list[int | None] = list(encoding.word_ids)
        if row.text_pair is not None:
            sequences = encoding.sequence_ids
            word_ids = [w if s == 0 else None for w, s in zip(word_ids, sequences, strict=True)]
        if isinstance(row.text, list):
            spans, end = [], -1
            for word in row.text:
                spans.append((end + 1, end + 1 + len(word)))
                end = spans[-1][1]
            return WordMap(" ".join(row.text), spans, self._pad(word_ids, None, length))
        # The tokenizer's own words, numbered anew: some of its numbers own no token.
        found: dict[int, int] = {}
        spans = []
        numbered: list[int | None] = []
        for word_id, (start, end) in zip(word_ids, encoding.offsets, strict=True):
            if word_id is None:
                numbered.append(None)
            elif word_id in found:
                spans[found[word_id]] = (spans[found[word_id]][0], end)
                numbered.append(found[word_id])
            else:
                found[word_id] = len(spans)
                spans.append((start, end))
                numbered.append(found[word_id])
        return WordMap(row.text, spans, self._pad(numbered, None, length))
