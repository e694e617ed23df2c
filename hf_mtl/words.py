"""What became of a text's words in the tokenizer: which tokens they own and where they stand in the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["WordMap"]


@dataclass(frozen=True)
class WordMap:
    """The words of one row and the tokens they became.

    A word can own no token: it was truncated away, or the tokenizer drops its characters (a lone U+FFFD).

    Args:
        text: The raw text; for pre-split input its words joined by spaces.
        spans: The start and end of each word in ``text``, in characters.
        word_ids: For each of the L tokens of the padded row, the word it belongs to; ``None`` at special tokens,
            padding, and the tokens of a second text.
    """

    text: str
    spans: Sequence[tuple[int, int]]
    word_ids: Sequence[int | None]

    def first_tokens(self) -> list[int | None]:
        """Return the position of each word's first token in the padded row, ``None`` where it owns none.

        >>> WordMap("a bc", [(0, 1), (2, 4)], [None, 0, 1, 1, None]).first_tokens()
        [1, 2]
        """
        first: list[int | None] = [None] * len(self.spans)
        for position, word in enumerate(self.word_ids):
            if word is not None and first[word] is None:
                first[word] = position
        return first
