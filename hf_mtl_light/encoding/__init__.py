"""Rows to what an encoder is given: tokens, in windows where a text is long, and what became of its words.

All work with Transformers' fast tokenizers, which are handed in, or with a `FileTokenizer`, which needs no
Transformers.
"""

from __future__ import annotations

from hf_mtl_light.encoding._encodings import (
    Tokenizer,
    check_tokenizer,
    encode_rows,
    padding_id,
    raw_tokens_of,
    word_map_of,
)
from hf_mtl_light.encoding._pictures import PairWindow, PictureWindow, RowEncoder, picture_of
from hf_mtl_light.encoding._readings import (
    ContextWindow,
    EncodedContext,
    can_read,
    choice_words,
    encode_choices,
    encode_contexts,
)
from hf_mtl_light.encoding._rows import Row, RowError, as_row, is_picture
from hf_mtl_light.encoding._tokenizer import FileTokenizer, vocabulary_digest
from hf_mtl_light.encoding._windows import EncodedRow, Window, WindowEncoder

__all__ = [
    "ContextWindow",
    "EncodedContext",
    "EncodedRow",
    "FileTokenizer",
    "PairWindow",
    "PictureWindow",
    "Row",
    "RowEncoder",
    "RowError",
    "Tokenizer",
    "Window",
    "WindowEncoder",
    "as_row",
    "can_read",
    "check_tokenizer",
    "choice_words",
    "encode_choices",
    "encode_contexts",
    "encode_rows",
    "is_picture",
    "padding_id",
    "picture_of",
    "raw_tokens_of",
    "vocabulary_digest",
    "word_map_of",
]
