"""What the encoder is given of a row: its text, windows over its context, or each of its choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_mtl_light.encoding._encodings import Tokenizer, encode_rows, padding_id, text_of
from hf_mtl_light.encoding._rows import Row, RowError
from hf_mtl_light.words import Reading, WordMap, trimmed

__all__ = [
    "CONTEXT_STRIDE",
    "ContextWindow",
    "EncodedContext",
    "can_read",
    "choice_words",
    "encode_choices",
    "encode_contexts",
]

#: Tokens that neighbouring windows over a context share, where they have room for twice as many.
CONTEXT_STRIDE = 128


def can_read(row: Row, reading: Reading) -> bool:
    """Return whether a row has what a task reads."""
    if reading == "image":
        return row.image is not None
    if reading == "context":
        return isinstance(row.text, str) and row.text_pair is not None
    if reading == "choices":
        return row.choices is not None
    if reading == "joint":
        return True
    return bool(row.text) or row.image is None


@dataclass(frozen=True)
class ContextWindow:
    """What the encoder sees at once, with the names of a ``tokenizers.Encoding``.

    Args:
        ids: Token ids, with special tokens.
        type_ids: Which text of a pair each token belongs to.
    """

    ids: Sequence[int]
    type_ids: Sequence[int]

    @property
    def attention_mask(self) -> list[int]:
        """1 at each token: nothing is padded."""
        return [1] * len(self.ids)


@dataclass(frozen=True)
class EncodedContext:
    """A question and its context, in windows that each hold the whole question.

    Args:
        text: The context.
        spans: The start and end of each of its tokens, in characters.
        windows: The windows.
        tokens: For each window its first token of the context and the one after its last.
        before: Tokens in front of the context in each window.
    """

    text: str
    spans: Sequence[tuple[int, int]]
    windows: Sequence[ContextWindow]
    tokens: Sequence[tuple[int, int]]
    before: int

    def only(self, numbers: Sequence[int]) -> EncodedContext:
        """Return the row with some of its windows."""
        return replace(self, windows=[self.windows[i] for i in numbers], tokens=[self.tokens[i] for i in numbers])

    def words(self, length: int | None = None) -> WordMap:
        """Return the tokens of the context as words, in the windows one after the other.

        Args:
            length: L, where windows are padded to it.
        """
        word_ids: list[int | None] = []
        lengths = [length or len(window.ids) for window in self.windows]
        for (first, stop), count in zip(self.tokens, lengths, strict=True):
            word_ids += [None] * self.before
            word_ids += range(first, stop)
            word_ids += [None] * (count - self.before - (stop - first))
        return WordMap(self.text, self.spans, word_ids, windows=lengths)


def encode_contexts(
    tokenizer: Tokenizer, rows: Sequence[Row], max_length: int, stride: int | None = None
) -> tuple[list[EncodedContext], list[str]]:
    """Tokenise pairs of a question and its context; the context is cut into windows, the question never is.

    Args:
        tokenizer: A fast tokenizer.
        rows: Rows with a second text.
        max_length: The most tokens of a window.
        stride: Tokens that neighbouring windows share, at most half of what they hold of the context; ``None`` is
            `CONTEXT_STRIDE`.

    Returns:
        A row each, and the names of the encoder's inputs: see `encode_rows`.

    Raises:
        RowError: If a question leaves no room for its context; the message names dataset and row.
    """
    encodings, names = encode_rows(tokenizer, rows, verbose=False)
    found = []
    for row, encoding in zip(rows, encodings, strict=True):
        # No tokens at all are one of padding, as for other rows.
        ids, types = encoding.ids or [padding_id(tokenizer)], encoding.type_ids or [0]
        places = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
        before, behind = (places[0], places[-1] + 1) if places else (len(ids), len(ids))
        room = max_length - (len(ids) - len(places))
        if room < min(len(places), 2) or room < 0:
            raise RowError(
                row,
                f"the question has so many tokens that {max(room, 0)} of {max_length} are left for the context. "
                "Raise max_length, or shorten the question ('text').",
            )
        shared = min(CONTEXT_STRIDE if stride is None else stride, room // 2)
        tokens = [(0, min(room, len(places)))]
        while tokens[-1][1] < len(places):
            first = tokens[-1][1] - shared
            tokens.append((first, min(first + room, len(places))))
        windows = [
            ContextWindow(
                [*ids[:before], *ids[before + first : before + stop], *ids[behind:]],
                [*types[:before], *types[before + first : before + stop], *types[behind:]],
            )
            for first, stop in tokens
        ]
        spans = [trimmed(str(row.text_pair), *encoding.offsets[i]) for i in places]
        found.append(EncodedContext(str(row.text_pair), spans, windows, tokens, before))
    return found, names


def encode_choices(tokenizer: Tokenizer, rows: Sequence[Row], max_length: int) -> tuple[list[list[Any]], list[str]]:
    """Tokenise each choice of rows as the second text after the row's own.

    Of a row with a second text the choice follows that, as the ending of a sentence. What is too long is cut off
    from the longer of the two.

    Returns:
        For each row a ``tokenizers.Encoding`` a choice, and the names of the encoder's inputs: see `encode_rows`.
    """
    pairs = [
        replace(
            row,
            text=text_of(row),
            text_pair=choice if row.text_pair is None else f"{row.text_pair} {choice}",
        )
        for row in rows
        for choice in row.choices or ()
    ]
    encodings, names = encode_rows(tokenizer, pairs, truncation=True, max_length=max_length)
    following = (encoding if encoding.ids else ContextWindow([padding_id(tokenizer)], [0]) for encoding in encodings)
    return [[next(following) for _ in row.choices or ()] for row in rows], names


def choice_words(row: Row) -> WordMap:
    """Return a row's choices; no label is one of its words."""
    return WordMap(text_of(row), (), (), choices=row.choices or ())
