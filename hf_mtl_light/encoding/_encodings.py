"""Rows of any kind through the fast tokenizer, and what became of their words in it."""

from __future__ import annotations

import copy
import logging
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from hf_mtl_light.encoding._locks import lock_of
from hf_mtl_light.encoding._rows import Row
from hf_mtl_light.encoding._tokenizer import FileTokenizer
from hf_mtl_light.encoding._word_numbers import number_given_words, number_words, word_spans
from hf_mtl_light.errors import UserError
from hf_mtl_light.words import RawTokens, WordMap, trimmed

__all__ = [
    "Tokenizer",
    "call_tokenizer",
    "check_tokenizer",
    "encode_rows",
    "is_word_aware",
    "padding_id",
    "raw_tokens_of",
    "text_of",
    "word_map_of",
]

logger = logging.getLogger(__name__)

#: A fast tokenizer of Transformers, which this package does not import, or a `FileTokenizer`.
Tokenizer: TypeAlias = Any


def check_tokenizer(tokenizer: Tokenizer) -> None:
    """Check that words and tokens can be matched.

    Raises:
        ValueError: If the tokenizer is not a fast one.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"{type(tokenizer).__name__} is not a fast tokenizer, so words and tokens cannot be matched. "
            "Load it with AutoTokenizer.from_pretrained(name), which needs a tokenizer.json or a conversion."
        )


def padding_id(tokenizer: Tokenizer) -> int:
    """Return the id that batches are padded with; the caller's tokenizer stays as it is.

    Raises:
        ValueError: If the tokenizer has neither a padding token nor an end of text.
    """
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{type(tokenizer).__name__} has neither a padding token nor an end of text to pad with. Set one: "
            "tokenizer.pad_token = '<a token of its vocabulary>'."
        )
    warn_once(
        f"{type(tokenizer).__name__} has no padding token: batches are padded with its end of text, "
        f"{tokenizer.eos_token!r}. Set tokenizer.pad_token to pad with another."
    )
    return int(tokenizer.eos_token_id)


@lru_cache(maxsize=64)
def warn_once(message: str) -> None:
    """Say something in the log that many calls would say."""
    logger.warning(message)


def encode_rows(tokenizer: Tokenizer, rows: Sequence[Row], **how: Any) -> tuple[list[Any], list[str]]:
    """Tokenise rows without padding.

    Args:
        tokenizer: A fast tokenizer.
        rows: Texts, pairs and words, mixed as they come.
        how: Arguments of the tokenizer, such as ``truncation`` and ``max_length``.

    Returns:
        A ``tokenizers.Encoding`` a row, and the names of the encoder's inputs among ``input_ids``,
        ``attention_mask`` and ``token_type_ids``.
    """
    encodings: list[Any] = [None] * len(rows)
    # The tokenizer takes one kind of input at a time: texts or pairs. Words are the text that they make: a list of
    # words has other tokens than that in some families (GPT-2's glues them together).
    kinds: dict[bool, list[int]] = {}
    for i, row in enumerate(rows):
        kinds.setdefault(row.text_pair is not None, []).append(i)
    names: list[str] = []
    for is_pair, chosen in kinds.items():
        pairs = [rows[i].text_pair for i in chosen] if is_pair else None
        batch = call_tokenizer(tokenizer, [text_of(rows[i]) for i in chosen], pairs, **how)
        names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch]
        for i, encoding in zip(chosen, batch.encodings, strict=True):
            encodings[i] = encoding
    return encodings, names


def call_tokenizer(tokenizer: Tokenizer, texts: str | list[str], pairs: Any, **how: Any) -> Any:
    """Call a tokenizer that a caller's own threads may use meanwhile, without our lock.

    What it truncates and pads to is its state: where that is another's after the call, it may have been during it.
    Then a copy is asked, which no one else has. A copy for every call would cost 40 ms and the vocabulary's memory.

    Args:
        tokenizer: A fast tokenizer.
        texts: A text, or several.
        pairs: The second text, or texts; ``None``: there are none.
        how: Arguments of the tokenizer, such as ``truncation`` and ``max_length``.

    Returns:
        What the tokenizer returned.
    """
    with lock_of(tokenizer):
        batch = tokenizer(texts, text_pair=pairs, **how)
        if isinstance(tokenizer, FileTokenizer):  # it holds its state for as long as a call takes
            return batch
        truncation, padding = tokenizer.backend_tokenizer.truncation, tokenizer.backend_tokenizer.padding
    given = None if truncation is None else (truncation["max_length"], truncation["stride"])
    wanted = (how["max_length"], how.get("stride", 0)) if how.get("truncation") else None
    if padding is None and given == wanted:
        return batch
    return copy.deepcopy(tokenizer)(texts, text_pair=pairs, **how)


def text_of(row: Row) -> str:
    """Return a row's text, or that of its words."""
    return row.text if isinstance(row.text, str) else " ".join(row.text)


def word_map_of(
    row: Row,
    word_ids: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    raw_tokens: RawTokens | None = None,
) -> WordMap:
    """Return what became of a row's words.

    Args:
        row: The row.
        word_ids: For each token the tokenizer's number of its word, ``None`` at special tokens and in a second text.
        offsets: For each token its start and end in the text, in characters.
        raw_tokens: The tokens by themselves, to hand on.
    """
    if isinstance(row.text, list):
        text, given = text_of(row), word_spans(row.text)
        return WordMap(text, given, number_given_words(text, given, word_ids, offsets), raw_tokens)
    numbers, spans = number_words(row.text, word_ids, offsets)
    if spans and not row.text.isascii():
        limits = [*(start for start, _ in spans[1:]), len(row.text)]
        spans = [(start, _with_marks(row.text, end, limit)) for (start, end), limit in zip(spans, limits, strict=True)]
    return WordMap(row.text, spans, numbers, raw_tokens)


def _with_marks(text: str, end: int, limit: int) -> int:
    """Return the end after the marks on a word's last letter: tokenizers that strip accents end before them."""
    while 0 < end < limit and unicodedata.category(text[end]).startswith("M"):
        end += 1
    return end


def is_word_aware(tokenizer: Tokenizer) -> bool:
    """Return whether tokens that continue a word carry a mark, such as WordPiece's ``##``."""
    return bool(getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None))


def raw_tokens_of(
    row: Row,
    tokens: Sequence[str],
    offsets: Sequence[tuple[int, int]],
    is_special: Sequence[int],
    tokenizer: Tokenizer,
) -> RawTokens:
    """Return the tokens of a row by themselves.

    Which of them continue a word is decided as Transformers' token-classification pipeline decides it.

    Args:
        row: The row.
        tokens: All its tokens.
        offsets: The start and end of each in the text, in characters.
        is_special: Whether each is a special token, or of a second text.
        tokenizer: The tokenizer.
    """
    text = text_of(row)
    aware, unknown = is_word_aware(tokenizer), tokenizer.unk_token
    index, spans, inside = [], [], []
    for i, (token, (start, end)) in enumerate(zip(tokens, offsets, strict=True)):
        if is_special[i]:
            continue
        index.append(i)
        spans.append(trimmed(text, start, end))
        if token == unknown:
            inside.append(False)
        elif aware:
            inside.append(len(token) != end - start)
        else:
            inside.append(start > 0 and " " not in text[start - 1 : start + 1])
    return RawTokens(index, spans, inside)
