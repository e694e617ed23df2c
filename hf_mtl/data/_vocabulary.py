"""Whether a tokenizer's vocabulary is that of an encoder, as far as its ids show."""

from __future__ import annotations

import json
from typing import Any
from weakref import WeakKeyDictionary

import xxhash
from transformers import PreTrainedTokenizerBase

from hf_mtl_light.errors import UserError

__all__ = ["check_vocabulary", "vocabulary_mark"]


#: Tokenizer -> its backend, the number of its tokens and their mark: `predict` asks at each call, and a mark takes
#: tens of milliseconds.
_marks: WeakKeyDictionary[Any, tuple[Any, int, str]] = WeakKeyDictionary()


def vocabulary_mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the number of a vocabulary's tokens and a hash of them with their ids, such as ``"30522:9f..."``.

    Tokens that were added to it do not count: they may be, with `resize_token_embeddings`, after training.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _mark(tokenizer.get_vocab())
    size = backend.get_vocab_size(with_added_tokens=False)
    known, count, mark = _marks.get(tokenizer, (None, 0, ""))
    if known is not backend or count != size:
        mark = _mark(backend.get_vocab(with_added_tokens=False))
        _marks[tokenizer] = backend, size, mark
    return mark


def _mark(tokens: dict[str, int]) -> str:
    digest = xxhash.xxh3_128_hexdigest(json.dumps(sorted(tokens.items(), key=lambda item: item[1])).encode())
    return f"{len(tokens)}:{digest}"


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, embeddings: int, saved: str | None = None) -> None:
    """Check that an encoder has an embedding for each token, and that there are tokens at all.

    Args:
        tokenizer: The tokenizer.
        embeddings: The number of the encoder's token embeddings.
        saved: The `vocabulary_mark` of the tokenizer that the model was trained with; ``None``: it is not known.

    Raises:
        ValueError: If the tokenizer knows special tokens alone, an id lies past the embeddings, or its vocabulary is
            not the one that the model was trained with.
    """
    size = len(tokenizer)
    if size <= len(tokenizer.all_special_tokens):
        raise UserError(
            f"{type(tokenizer).__name__} has no vocabulary: it knows {size} special tokens and no other. The files of "
            "the tokenizer are missing where it was loaded from; get them from the encoder or the model."
        )
    # Ids are seldom sparse: the table is read only where their number leaves a doubt.
    largest = size - 1 if size > embeddings else max(tokenizer.get_vocab().values())
    if largest >= embeddings:
        raise UserError(
            f"The tokenizer has ids up to {largest:,}, and the encoder embeddings for ids below {embeddings:,}. Load "
            "the tokenizer of this encoder; if tokens were added to it on purpose, first call "
            "model.resize_token_embeddings(len(tokenizer))."
        )
    if saved is not None and (found := vocabulary_mark(tokenizer)) != saved:
        was, now = saved.partition(":")[0], found.partition(":")[0]
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path!r} ({type(tokenizer).__name__}, {now} tokens) has another "
            f"vocabulary than the one that this model was trained with ({was} tokens), so it would give the model "
            "other words' ids. Load the tokenizer that was saved with the model; if another is meant, first set "
            "model.config.vocabulary = None."
        )
