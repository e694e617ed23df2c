"""Texts, pairs and words to token ids, with the tokenizers library alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_mtl_light.description import GraphDescription

__all__ = ["EncodedRow", "RowTokenizer", "Token", "read_row"]


@dataclass(frozen=True)
class Token:
    """A token of a row's first text.

    Args:
        index: Its place in the row.
        word: Its text: of an unknown one, what stands in the text.
        start: Where it begins in the text, in characters.
        end: Where it ends.
        is_subword: Whether it continues the word of the token before.
    """

    index: int
    word: str
    start: int
    end: int
    is_subword: bool


@dataclass(frozen=True)
class EncodedRow:
    """A row, tokenised.

    Args:
        text: The first text; of words, the words joined by spaces.
        encoding: What the tokenizer made of it.
        starts: Where each word begins in ``text``, for rows given as words.
    """

    text: str
    encoding: Any
    starts: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.encoding.ids)


def read_row(value: Any, number: int) -> tuple[str | list[str], str | None]:
    """Return the text or the words of an input, and the second text if it is a pair.

    Raises:
        ValueError: If it is neither a text nor a mapping with ``text``, ``text`` and ``text_pair``, or ``tokens``.
    """
    fields = {"text": value} if isinstance(value, str) else value
    if isinstance(fields, Mapping):
        words, text, pair = (fields.get(name) for name in ("tokens", "text", "text_pair"))
        if isinstance(words, list | tuple) and pair is None and all(isinstance(word, str) for word in words):
            return list(words), None
        if words is None and isinstance(text, str) and (pair is None or isinstance(pair, str)):
            return text, pair
    raise ValueError(
        f"Input {number}: expected a text, or a mapping with 'text', 'text' and 'text_pair', or 'tokens' (a list of "
        f"texts); found {value!r:.80}."
    )


class RowTokenizer:
    """The tokenizer of an exported model.

    Args:
        folder: The exported folder.
        description: What it holds.
        max_length: The most tokens of a row.
    """

    def __init__(self, folder: Path, description: GraphDescription, max_length: int) -> None:
        from tokenizers import Tokenizer

        self.description = description
        self.backend: Any = Tokenizer.from_file(str(folder / description.tokenizer))
        self.backend.no_padding()
        self.backend.enable_truncation(max_length, direction=description.truncation_side)
        self._marks_subwords = bool(getattr(self.backend.model, "continuing_subword_prefix", None))

    def encode(self, rows: Sequence[tuple[str | list[str], str | None]]) -> list[EncodedRow]:
        """Tokenise rows of any kind, without padding."""
        encoded: list[Any] = [None] * len(rows)
        for is_split in (False, True):
            chosen = [number for number, (text, _) in enumerate(rows) if isinstance(text, list) == is_split]
            given = [rows[number][0] if rows[number][1] is None else rows[number] for number in chosen]
            for number, encoding in zip(
                chosen, self.backend.encode_batch(given, is_pretokenized=is_split), strict=True
            ):
                text = rows[number][0]
                if isinstance(text, str):
                    encoded[number] = EncodedRow(text, encoding)
                    continue
                lengths = [0, *(len(word) + 1 for word in text[:-1])]
                encoded[number] = EncodedRow(" ".join(text), encoding, np.cumsum(lengths).tolist())
        return encoded

    def batch(self, rows: Sequence[EncodedRow]) -> dict[str, NDArray[np.int64]]:
        """Pad rows on the right to one length: the inputs of the graph, each [B, L]."""
        sources = {
            "input_ids": ("ids", self.description.pad_token_id),
            "attention_mask": ("attention_mask", 0),
            "token_type_ids": ("type_ids", self.description.pad_token_type_id),
        }
        length = max(1, *map(len, rows))
        inputs = {}
        for name in self.description.inputs:
            source, filler = sources[name]
            inputs[name] = np.full((len(rows), length), filler, dtype=np.int64)
            for number, row in enumerate(rows):
                inputs[name][number, : len(row)] = getattr(row.encoding, source)
                if name == "attention_mask" and not len(row):
                    inputs[name][number, 0] = 1  # a row without any token is one of padding
        return inputs

    def tokens(self, row: EncodedRow) -> list[Token]:
        """Return the tokens of the first text, special ones left out.

        Whether a token continues a word is decided as Transformers' token-classification pipeline does: by the
        tokenizer's mark of continuing pieces where it has one, else by the character before the token.
        """
        found = []
        encoding = row.encoding
        columns = (encoding.ids, encoding.tokens, encoding.offsets, encoding.special_tokens_mask, encoding.sequence_ids)
        for index, (number, word, (start, end), special, sequence) in enumerate(zip(*columns, strict=True)):
            if special or sequence not in (0, None):
                continue
            if row.starts is not None and encoding.word_ids[index] is not None:
                shift = row.starts[encoding.word_ids[index]]
                start, end = start + shift, end + shift
            text = row.text[start:end]
            if self._marks_subwords:
                is_subword = len(word) != len(text)
            else:
                is_subword = start > 0 and " " not in row.text[start - 1 : start + 1]
            if number == self.description.unk_token_id:
                word, is_subword = text, False
            found.append(Token(index, word, start, end, is_subword))
        return found

    def join(self, words: Sequence[str]) -> str:
        """Return the text of tokens."""
        decoder = self.backend.decoder
        return " ".join(words) if decoder is None else str(decoder.decode(list(words)))
