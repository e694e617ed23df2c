"""Rows to one padded batch: tokenised here, in one go, by the fast tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.configuration import TaskConfig
from hf_mtl.data._masking import TokenMasker
from hf_mtl.data._processors import check_processors, pixels_of
from hf_mtl.data._tokenised import READINGS, Tokenised, lay_out
from hf_mtl.encoder import longest_text
from hf_mtl.heads import Head, LabelError
from hf_mtl_light.encoding import (
    EncodedContext,
    Row,
    can_read,
    choice_words,
    encode_choices,
    encode_contexts,
    encode_rows,
    padding_id,
    picture_of,
    word_map_of,
)
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading, WordMap

__all__ = ["EncodedBatch", "MultiTaskCollator", "longest_input"]

#: What a row that is read jointly has, one of them or both.
_OF_JOINT: tuple[Reading, Reading] = ("text", "image")
#: Where neither the tokenizer nor the encoder has a limit; far above what any machine computes at once.
_NO_LIMIT = 2**20


def longest_input(tokenizer: PreTrainedTokenizerBase, encoder_config: Any) -> int:
    """Return the most tokens a row may have: what both the tokenizer and the encoder's positions allow.

    Raises:
        ValueError: If the tokenizer's ``model_max_length``, as its files have it, is no number of at least 1.
    """
    positions, own = longest_text(encoder_config), tokenizer.model_max_length
    if isinstance(own, bool) or not isinstance(own, (int, float)) or not own >= 1:
        raise UserError(
            f"The tokenizer's model_max_length must be a number of at least 1, found {own!r}. Correct it in "
            "tokenizer_config.json."
        )
    return int(min(own, _NO_LIMIT if positions is None else positions))


@dataclass(frozen=True)
class EncodedBatch:
    """Rows as the encoder takes them: a row of the dataset can be several of the encoder.

    Args:
        inputs: The inputs of the encoder of texts, each [B, L] int64, and ``pixel_values`` [B', channels, height,
            width] of that of pictures; of each what some row needs. ``pairs`` [P, 2] int64 are the places of rows that
            are read jointly: see `MultiTaskModel.forward`.
        places: By reading, for each row that is read so: its rows among the B, in order.
        words: By reading, for each row that is read so: what became of its words.
    """

    inputs: dict[str, torch.Tensor]
    places: dict[Reading, dict[int, list[int]]]
    words: dict[Reading, dict[int, WordMap]]


class MultiTaskCollator:
    """Turns rows of any datasets into one batch for `MultiTaskModel`.

    A row becomes what the tasks that label it read of it: mostly one row of the encoder, its text; for windows over a
    long context and for choices several.

    Rows are padded on the right, whatever side the tokenizer is set to: learned positions count from the left. A
    tokenizer without a padding token pads with its end of text, which says so once; padding is never attended to. A
    row without any token, as tokenizers that add none make of an empty text, is one token of padding that is.

    Args:
        tokenizer: A fast tokenizer.
        tasks: The model's tasks.
        heads: The head class of each task.
        max_length: The most tokens a row may have; longer ones are truncated.
        pad_to_multiple_of: Round the batch's length up to a multiple of it.
        seed: Names the masks of texts that are drawn for training; other texts have one mask, whatever the seed.
        image_processor: Makes pixels of pictures, for tasks that read them. A model of pictures alone needs no
            tokenizer.

    Raises:
        ValueError: If what a task needs is missing: a fast tokenizer, an image processor, or a token to pad or to mask
            with.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        tasks: Sequence[TaskConfig],
        heads: Mapping[str, type[Head]],
        max_length: int = 512,
        pad_to_multiple_of: int | None = None,
        seed: int = 0,
        image_processor: Any = None,
    ) -> None:
        check_processors(tokenizer, image_processor, tasks, heads)
        self.image_processor = image_processor
        self.pad_token_id = 0 if tokenizer is None else padding_id(tokenizer)
        self.tokenizer: Any = tokenizer
        self.tasks = list(tasks)
        self.heads = dict(heads)
        self.max_length = max_length
        self.pad_to_multiple_of = pad_to_multiple_of
        masked = [task.name for task in self.tasks if self.heads[task.name].column_is_input]
        #: What masks texts, where a task wants it.
        self.masker = TokenMasker(tokenizer, masked[0], seed) if tokenizer is not None and masked else None

    def __call__(self, rows: Sequence[Row], taught: Sequence[Row] | None = None) -> dict[str, Any]:
        """Return a batch: padded inputs, and labels and row numbers by task.

        Args:
            rows: The rows.
            taught: The same rows with other labels, which the batch holds, too, as ``taught``.

        Raises:
            ValueError: If a label does not fit; the message names dataset, row and task.
        """
        batch = self.read(rows, [self.readings(row) for row in rows], trains=True)
        labels, numbers = self.encode_labels(rows, batch)
        more = {} if taught is None else {"taught": self.encode_labels(taught, batch)[0]}
        return {**batch.inputs, "labels": labels, "rows": numbers, **more}

    def readings(self, row: Row) -> set[Reading]:
        """Return what the tasks that label a row read of it; of a row without a label its text, or its picture."""
        return {self.heads[task].reads for task in row.labels if task in self.heads} or {
            "text" if can_read(row, "text") else "image"
        }

    def encode_labels(
        self, rows: Sequence[Row], batch: EncodedBatch, masks: bool = True
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return, for each task that labels some of the rows, its label tensor and the numbers of the encoder's rows.

        Args:
            rows: The rows.
            batch: What the encoder is given of them.
            masks: Whether texts are masked in the batch; else tasks of masked tokens label nothing.

        Raises:
            ValueError: If a label does not fit; the message names dataset, row and task.
        """
        labels, numbers = {}, {}
        for task in self.tasks:
            chosen = [i for i, row in enumerate(rows) if task.name in row.labels]
            head = self.heads[task.name]
            if not chosen or (head.column_is_input and not masks):
                continue
            places = batch.places[head.reads]
            words = [batch.words[head.reads][i] for i in chosen]
            numbers[task.name] = torch.tensor([place for i in chosen for place in places[i]])
            if head.column_is_input:
                assert self.masker is not None
                masked = [rows[i] for i in chosen]
                ids, at = batch.inputs["input_ids"], numbers[task.name].tolist()
                chosen_ids = self.masker.mask(ids, at, masked, words, head.options(task), head.no_label)
                labels[task.name] = chosen_ids
                continue
            try:
                labels[task.name] = head.encode_labels(task, [rows[i].labels[task.name] for i in chosen], words)
            except LabelError as error:
                row = rows[chosen[error.row]]
                raise UserError(f"Dataset {row.dataset!r}, row {row.index}, task {task.name!r}: {error}") from None
        return labels, numbers

    def encode(self, rows: Sequence[Row]) -> tuple[dict[str, torch.Tensor], list[WordMap]]:
        """Tokenise the texts of rows of any kind and pad them to one length L.

        Returns:
            The encoder's inputs, each [B, L] int64, and what became of each row's words.
        """
        texts: set[Reading] = {"text"}
        batch = self.read(rows, [texts] * len(rows))
        return batch.inputs, list(batch.words["text"].values())

    def read(self, rows: Sequence[Row], readings: Sequence[Collection[Reading]], trains: bool = False) -> EncodedBatch:
        """Tokenise what is to be read of some rows and pad it to one length L.

        Args:
            rows: The rows.
            readings: What is read of each.
            trains: Whether of many windows over a context some are enough: those that its label's task trains on.
        """
        chosen = {name: [i for i, asked in enumerate(readings) if name in asked] for name in READINGS}
        joint = {i: [name for name in _OF_JOINT if can_read(rows[i], name)] for i in chosen["joint"]}
        for name in _OF_JOINT:
            chosen[name] = sorted({*chosen[name], *(i for i, there in joint.items() if name in there)})
        tokenised = self._tokenise(rows, chosen, trains)
        encoder_rows, places = lay_out(tokenised, chosen, len(rows))
        inputs = self._tensors(encoder_rows, tokenised.names) if encoder_rows else {}
        length = inputs["input_ids"].shape[1] if encoder_rows else 0
        if tokenised.images:
            inputs["pixel_values"] = pixels_of(self.image_processor, list(tokenised.images.values()))
        if joint:
            pairs = [[places[n][i][0] if n in there else -1 for n in _OF_JOINT] for i, there in joint.items()]
            inputs["pairs"] = torch.tensor(pairs)
            places["joint"] = {i: [number] for number, i in enumerate(joint)}
        words: dict[Reading, dict[int, WordMap]] = {
            "text": {i: self._word_map(rows[i], text, length) for i, text in tokenised.texts.items()},
            "context": {i: context.words(length) for i, context in tokenised.contexts.items()},
            "choices": {i: choice_words(rows[i]) for i in tokenised.choices},
            "image": {i: WordMap("", [], [], picture_size=image.size) for i, image in tokenised.images.items()},
        }
        words["joint"] = {i: words["text"].get(i, WordMap("", [], [])) for i in joint}
        return EncodedBatch(inputs, places, words)

    def _tokenise(self, rows: Sequence[Row], chosen: Mapping[Reading, Sequence[int]], trains: bool) -> Tokenised:
        """Return the tokens of the rows that are chosen for each reading; see `read`."""
        found = Tokenised()
        if chosen["text"]:
            own = [rows[i] for i in chosen["text"]]
            texts, found.names = encode_rows(self.tokenizer, own, truncation=True, max_length=self.max_length)
            found.texts = dict(zip(chosen["text"], texts, strict=True))
        if chosen["context"]:
            own = [rows[i] for i in chosen["context"]]
            contexts, found.names = encode_contexts(self.tokenizer, own, self.max_length)
            if trains:
                contexts = [context.only(self._trained(r, context)) for r, context in zip(own, contexts, strict=True)]
            found.contexts = dict(zip(chosen["context"], contexts, strict=True))
        if chosen["choices"]:
            own = [rows[i] for i in chosen["choices"]]
            choices, found.names = encode_choices(self.tokenizer, own, self.max_length)
            found.choices = dict(zip(chosen["choices"], choices, strict=True))
        found.images = {i: picture_of(rows[i]) for i in chosen["image"]}
        return found

    def _trained(self, row: Row, context: EncodedContext) -> list[int]:
        """Return the numbers of the windows that a row's tasks train on."""
        windows = [
            (context.spans[first][0], context.spans[stop - 1][1]) if stop > first else (0, 0)
            for first, stop in context.tokens
        ]
        wanted: set[int] = set()
        for task in self.tasks:
            if task.name in row.labels and self.heads[task.name].reads == "context":
                wanted.update(self.heads[task.name].windows_to_train(task, row.labels[task.name], windows))
        return sorted(wanted)

    def _tensors(self, encodings: Sequence[Any], names: Sequence[str]) -> dict[str, torch.Tensor]:
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
        return inputs

    def _pad(self, values: Sequence[Any], filler: Any, length: int) -> list[Any]:
        return [*values, *[filler] * (length - len(values))]

    def _word_map(self, row: Row, encoding: Any, length: int) -> WordMap:
        word_ids: list[int | None] = list(encoding.word_ids)
        if row.text_pair is not None:
            sequences = encoding.sequence_ids
            word_ids = [w if s == 0 else None for w, s in zip(word_ids, sequences, strict=True)]
        offsets = self._pad(encoding.offsets, (0, 0), length)
        word_map = word_map_of(row, self._pad(word_ids, None, length), offsets)
        return word_map if self.masker is None else replace(word_map, ids=encoding.ids)
