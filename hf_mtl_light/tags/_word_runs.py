"""The words that a tagging head answers, gathered from a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl_light.words import WordMap

__all__ = ["WordRuns"]


@dataclass(frozen=True)
class WordRuns:
    """The words of a batch that own tokens, in runs: a word without one breaks its row's run in two.

    Args:
        tokens: For each of the n words its first token's place among the rows' tokens, row after row (of padded rows
            all L).
        lengths: The words of each run.
        places: For each row and each of its words, the word's number among the n; ``None`` where it owns no token.
    """

    tokens: list[int]
    lengths: list[int]
    places: list[list[int | None]]

    @classmethod
    def of(cls, words: Sequence[WordMap]) -> WordRuns:
        """Gather the words of R rows.

        >>> WordRuns.of([WordMap("a b c", [(0, 1), (2, 3), (4, 5)], [None, 0, 2, 2])])
        WordRuns(tokens=[1, 2], lengths=[1, 1], places=[[0, None, 1]])
        """
        runs = cls([], [], [])
        offset = 0
        for word_map in words:
            place, is_open = list[int | None](), False
            for token in word_map.first_tokens():
                if token is None:
                    place.append(None)
                else:
                    place.append(len(runs.tokens))
                    runs.tokens.append(offset + token)
                    if is_open:
                        runs.lengths[-1] += 1
                    else:
                        runs.lengths.append(1)
                is_open = token is not None
            runs.places.append(place)
            offset += len(word_map.word_ids)
        return runs

    def in_rows(self, values: Sequence[Any], missing: Any) -> list[list[Any]]:
        """Put n values back in rows, ``missing`` at words without a token."""
        return [[missing if place is None else values[place] for place in row] for row in self.places]
