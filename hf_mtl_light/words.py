"""What became of a text's words in the tokenizer: which tokens they own and where they are in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["RawTokens", "Reading", "WordMap", "trimmed"]

#: What a task reads of a row. ``"text"``: its text or pair, or its words, with the end cut off where they are too long.
#: ``"context"``: its first text, the question, with windows over the second. ``"choices"``: its text with each choice.
#: ``"image"``: its picture. ``"joint"``: its text and its picture, of which one may be missing.
Reading = Literal["text", "context", "choices", "image", "joint"]


@dataclass(frozen=True)
class RawTokens:
    """The tokens of a text by themselves, without special tokens and without those of a second text.

    Args:
        index: The place of each among all tokens of the row.
        spans: The start and end of each in the text, in characters.
        is_subword: Whether each continues the word of the one before, by the rule of Transformers' own
            token-classification pipeline.
    """

    index: Sequence[int]
    spans: Sequence[tuple[int, int]]
    is_subword: Sequence[bool]


@dataclass(frozen=True)
class WordMap:
    """The words of one row and the tokens they became.

    A word can own no token: it was truncated away, or the tokenizer drops its characters (a lone U+FFFD).

    Args:
        text: The raw text; for pre-split input its words joined by spaces.
        spans: The start and end of each word in ``text``, in characters.
        word_ids: For each token of the row (padded rows: for each of the L), the word it belongs to; ``None`` at
            special tokens, padding, and the tokens of a second text.
        raw_tokens: The tokens by themselves, where answers are built from them.
        ids: The ids of the row's tokens, special ones too and without padding, where answers are built from them.
        windows: How many tokens of the row each of its windows has, where all of each are its own; empty: one window.
        choices: The texts to choose from.
        picture_size: Of a row that is read as a picture its width and height, in pixels.
    """

    text: str
    spans: Sequence[tuple[int, int]]
    word_ids: Sequence[int | None]
    raw_tokens: RawTokens | None = None
    ids: Sequence[int] | None = None
    windows: Sequence[int] = ()
    choices: Sequence[str] = ()
    picture_size: tuple[int, int] | None = None

    def first_tokens(self) -> list[int | None]:
        """Return the place of each word's first token among the row's tokens, ``None`` where it owns none.

        >>> WordMap("a bc", [(0, 1), (2, 4)], [None, 0, 1, 1, None]).first_tokens()
        [1, 2]
        """
        first: list[int | None] = [None] * len(self.spans)
        for position, word in enumerate(self.word_ids):
            if word is not None and first[word] is None:
                first[word] = position
        return first


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a place in a text without the white space at its ends; of white space alone, its end twice.

    >>> trimmed("in New York ", 2, 12), trimmed("a b", 1, 2)
    ((3, 11), (2, 2))
    """
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
