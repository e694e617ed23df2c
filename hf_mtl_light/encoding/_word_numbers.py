"""Which word each token belongs to, found by where it lies in the text.

Tokenizers number words themselves, but each family in its own way: byte-level ones and Metaspace count the space
before a word to it, some take a whole text for one word, and given a list of words byte-level ones glue them together.
Words that are given are therefore tokenised as the text that they make with single spaces between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl_light.words import trimmed

__all__ = ["number_given_words", "number_words", "word_spans"]

Span = tuple[int, int]


def word_spans(words: Sequence[str]) -> list[Span]:
    """Return the start and end of each word in their text, in characters.

    >>> word_spans(["to", "New York"])
    [(0, 2), (3, 11)]
    """
    spans, end = [], -1
    for word in words:
        spans.append((end + 1, end + 1 + len(word)))
        end = spans[-1][1]
    return spans


def number_given_words(
    text: str, spans: Sequence[Span], word_ids: Sequence[int | None], offsets: Sequence[Span]
) -> list[int | None]:
    """Return each token's number among words that were given; of a token over several of them, the first.

    Args:
        text: The words, joined by single spaces.
        spans: The words' places in it.
        word_ids: For each token the tokenizer's number of its word, ``None`` at special tokens.
        offsets: For each token its start and end in the text, in characters.
    """
    numbers: list[int | None] = []
    word = 0
    for word_id, (start, end) in zip(word_ids, offsets, strict=True):
        first, last = (0, 0) if word_id is None else trimmed(text, start, end)
        if first == last:
            numbers.append(None)
            continue
        while word < len(spans) and spans[word][1] <= first:
            word += 1
        numbers.append(word if word < len(spans) and spans[word][0] < last else None)
        _take_space_before(numbers, word_ids, offsets, first)
    return numbers


def number_words(
    text: str, word_ids: Sequence[int | None], offsets: Sequence[Span]
) -> tuple[list[int | None], list[Span]]:
    """Return each token's number among the words of a text, and the words' places, without spaces at their ends.

    A word begins where the tokenizer's own does, and after white space.

    Args:
        text: The text.
        word_ids: For each token the tokenizer's number of its word, ``None`` at special tokens.
        offsets: For each token its start and end in the text, in characters.
    """
    numbers: list[int | None] = []
    spans: list[Span] = []
    before: int | None = None
    for word_id, (start, end) in zip(word_ids, offsets, strict=True):
        first, last = (0, 0) if word_id is None else trimmed(text, start, end)
        if first == last:
            numbers.append(None)
            continue
        stop = spans[-1][1] if spans else 0
        if word_id != before or not spans or any(map(str.isspace, text[stop:first])):
            spans.append((first, last))
        else:
            spans[-1] = (spans[-1][0], max(stop, last))
        before = word_id
        numbers.append(len(spans) - 1)
        _take_space_before(numbers, word_ids, offsets, first)
    return numbers, spans


def _take_space_before(
    numbers: list[int | None], word_ids: Sequence[int | None], offsets: Sequence[Span], first: int
) -> None:
    """Count a token that is only the space before a word to that word, whose first token it then is."""
    at = len(numbers) - 1
    if (
        at > 0
        and numbers[at - 1] is None
        and word_ids[at - 1] is not None
        and offsets[at - 1][1] == offsets[at][0] == first
    ):
        numbers[at - 1] = numbers[at]
