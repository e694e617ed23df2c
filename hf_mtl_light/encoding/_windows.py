"""Rows to windows: what one pass of the encoder takes of a row, and how windows become one row again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_mtl_light.encoding._encodings import (
    Tokenizer,
    call_tokenizer,
    check_tokenizer,
    encode_rows,
    padding_id,
    raw_tokens_of,
    text_of,
    word_map_of,
)
from hf_mtl_light.encoding._readings import choice_words, encode_choices, encode_contexts
from hf_mtl_light.encoding._rows import Row
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import Reading, WordMap

__all__ = ["EncodedRow", "Window", "WindowEncoder"]


@dataclass(frozen=True)
class Window:
    """What the encoder sees at once: a row, or a part of a long one.

    Every token of the row is one window's own: that in which it is farther from an end.

    Args:
        ids: Token ids, with special tokens.
        type_ids: Which text of a pair each token belongs to; ``None`` if the encoder does not want it.
        start: Place of the first token that is this window's own.
        stop: Place after the last one.
        weight: Number of own tokens of text, at least 1.
    """

    ids: list[int]
    type_ids: list[int] | None
    start: int
    stop: int
    weight: int

    @property
    def key(self) -> Any:
        """What distinguishes it from windows that the encoder would see differently."""
        return self.ids, self.type_ids


@dataclass(frozen=True)
class EncodedRow:
    """A row for the encoder.

    Args:
        windows: Its windows, in the order of the text.
        words: What became of its words; ``word_ids`` run over the windows' own tokens.
    """

    windows: list[Window]
    words: WordMap


@dataclass(frozen=True)
class _Padding:
    """What the tokenizer would make of no text, had it made one token of padding."""

    ids: list[int]
    type_ids: Sequence[int] = (0,)
    tokens: Sequence[str] = ("",)
    offsets: Sequence[tuple[int, int]] = ((0, 0),)
    word_ids: Sequence[int | None] = (None,)
    sequence_ids: Sequence[int | None] = (None,)
    special_tokens_mask: Sequence[int] = (1,)


def _whole(of_windows: Sequence[Any], names: Sequence[str]) -> list[Window]:
    """Return windows that own all their tokens."""
    has_types = "token_type_ids" in names
    return [
        Window(list(of_window.ids), list(of_window.type_ids) if has_types else None, 0, len(of_window.ids), weight=1)
        for of_window in of_windows
    ]


class WindowEncoder:
    """Tokenises rows, many at a time, and cuts long ones.

    A row without any token is one of padding, as for `hf_mtl.data.MultiTaskCollator`.

    Args:
        tokenizer: A fast tokenizer.
        max_length: The most tokens of a window.
        stride: How many tokens neighbouring windows share; ``None`` cuts off what does not fit into one window, but
            of a context, which is always read whole.

    Raises:
        ValueError: If the tokenizer is not a fast one or has no token to pad with, or the stride leaves windows no
            room.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, stride: int | None = None) -> None:
        check_tokenizer(tokenizer)
        self.tokenizer = tokenizer
        self._empty = _Padding([padding_id(tokenizer)])
        self.max_length = max_length
        self.stride = stride
        self._half = (max_length - int(tokenizer.num_special_tokens_to_add(pair=True))) // 2
        if stride is not None and not 0 <= stride < self._half:
            raise UserError(
                f"stride must lie between 0 and {self._half - 1} tokens for windows of {max_length}, found {stride}."
            )

    def encode(
        self,
        rows: Sequence[Row],
        needs_raw_tokens: bool = False,
        reading: Reading = "text",
        needs_ids: bool = False,
    ) -> list[EncodedRow]:
        """Tokenise rows.

        Args:
            rows: Texts, pairs and words, mixed as they come.
            needs_raw_tokens: Whether to keep the tokens by themselves, as aggregation strategies want them.
            reading: What is read of the rows.
            needs_ids: Whether to keep the tokens' ids with the words, as fillings of masks want them.

        Raises:
            RowError: If a question leaves its context no room.
        """
        if not rows:
            return []
        if reading == "context":
            contexts, names = encode_contexts(self.tokenizer, rows, self.max_length, self.stride)
            return [EncodedRow(_whole(context.windows, names), context.words()) for context in contexts]
        if reading == "choices":
            choices, names = encode_choices(self.tokenizer, rows, self.max_length)
            return [
                EncodedRow(_whole(of_windows, names), choice_words(row))
                for row, of_windows in zip(rows, choices, strict=True)
            ]
        if self.stride is None:
            encodings, names = encode_rows(self.tokenizer, rows, truncation=True, max_length=self.max_length)
        else:
            encodings, names = encode_rows(self.tokenizer, rows, verbose=False)
        has_types = "token_type_ids" in names
        found = []
        for row, encoding in zip(rows, encodings, strict=True):
            encoding = encoding if encoding.ids else self._empty
            ids = encoding.ids
            if len(ids) > self.max_length:
                of_windows, owned = self._cut(row, encoding)
            else:
                of_windows, owned = [encoding], [(0, len(ids))]
            windows = [
                Window(
                    ids if of_window is encoding else of_window.ids,
                    of_window.type_ids if has_types else None,
                    *own,
                    weight=1 if len(of_windows) == 1 else max(of_window.special_tokens_mask[slice(*own)].count(0), 1),
                )
                for of_window, own in zip(of_windows, owned, strict=True)
            ]
            words = self._words(row, of_windows, owned, needs_raw_tokens)
            if needs_ids:
                words = replace(words, ids=[i for window in windows for i in window.ids[window.start : window.stop]])
            found.append(EncodedRow(windows, words))
        return found

    def _cut(self, row: Row, encoding: Any) -> tuple[list[Any], list[tuple[int, int]]]:
        """Cut a row into windows over its first text; the second is in each, at most half a window of it."""
        assert self.stride is not None
        if row.text_pair is not None:
            second = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
            if len(second) > self._half:
                row = replace(row, text_pair=row.text_pair[: encoding.offsets[second[self._half - 1]][1]])
        batch = call_tokenizer(
            self.tokenizer,
            text_of(row),
            row.text_pair,
            truncation="only_first",
            max_length=self.max_length,
            stride=self.stride,
            return_overflowing_tokens=True,
        )
        of_windows = list(batch.encodings)
        # Places of the first text's tokens in each window.
        texts = [[i for i, sequence in enumerate(of_window.sequence_ids) if sequence == 0] for of_window in of_windows]
        starts, stops = [0], []
        for number in range(1, len(of_windows)):
            of_window, shared = of_windows[number], texts[number][: self.stride + 1]
            words = word_map_of(row, [of_window.word_ids[i] for i in shared], [of_window.offsets[i] for i in shared])
            cut = self._middle(words.word_ids)
            starts.append(texts[number][0] + cut)
            stops.append(texts[number - 1][-1] + 1 - self.stride + cut)
        stops.append(len(of_windows[-1].ids))
        return of_windows, list(zip(starts, stops, strict=True))

    def _middle(self, word_ids: Sequence[int | None]) -> int:
        """Return where to divide the tokens that two windows share: near the middle, between two words."""
        assert self.stride is not None
        middle = self.stride // 2
        cuts = [i for i in range(1, self.stride + 1) if i < len(word_ids) and word_ids[i] != word_ids[i - 1]]
        return min(cuts, key=lambda i: abs(i - middle), default=middle)

    def _words(
        self, row: Row, of_windows: Sequence[Any], owned: Sequence[tuple[int, int]], needs_raw_tokens: bool
    ) -> WordMap:
        def gather(name: str) -> list[Any]:
            if len(of_windows) == 1:
                return list(getattr(of_windows[0], name))
            return [
                v
                for of_window, (start, stop) in zip(of_windows, owned, strict=True)
                for v in getattr(of_window, name)[start:stop]
            ]

        word_ids = gather("word_ids")
        other = None
        if row.text_pair is not None:
            other = [sequence == 1 for sequence in gather("sequence_ids")]
            word_ids = [None if out else word for out, word in zip(other, word_ids, strict=True)]
        offsets = gather("offsets")
        raw_tokens = None
        if needs_raw_tokens:
            special = gather("special_tokens_mask")
            if other is not None:
                special = [is_special or out for is_special, out in zip(special, other, strict=True)]
            raw_tokens = raw_tokens_of(row, gather("tokens"), offsets, special, self.tokenizer)
        return word_map_of(row, word_ids, offsets, raw_tokens)
