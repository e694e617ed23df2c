"""A tokenizer from its file, by the tokenizers library alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from hf_mtl_light.errors import library_errors_name

__all__ = ["FileTokenizer", "vocabulary_digest"]


def vocabulary_digest(backend: Any) -> str:
    """Return the number of a tokenizer's tokens and a hash of them with their ids, such as ``"30522:9f..."``.

    Args:
        backend: A tokenizer of the tokenizers library; tokens added to it count.
    """
    tokens = sorted(backend.get_vocab(with_added_tokens=True).items(), key=lambda item: (item[1], item[0]))
    return f"{len(tokens)}:{hashlib.blake2b(json.dumps(tokens).encode(), digest_size=16).hexdigest()}"


@dataclass(frozen=True)
class _Batch:
    """What a tokenizer made of some texts; ``in`` asks for the encoder's inputs, as of Transformers' own."""

    encodings: list[Any]
    names: Sequence[str]

    def __contains__(self, name: str) -> bool:
        return name in self.names


class FileTokenizer:
    """What rows need of a fast tokenizer, under the names and with the results of Transformers' own.

    Args:
        file: ``tokenizer.json``.
        inputs: Names of the encoder's inputs.
        pad_token_id: Id at padding.
        pad_token_type_id: Type at padding.
        unk_token_id: Id of the token for unknown characters; ``None``: there is none.
        truncation_side: Where a longer row is cut: ``"right"`` or ``"left"``.
    """

    is_fast = True

    def __init__(
        self,
        file: str | Path,
        inputs: Sequence[str],
        pad_token_id: int,
        pad_token_type_id: int = 0,
        unk_token_id: int | None = None,
        truncation_side: str = "right",
    ) -> None:
        from tokenizers import Tokenizer

        with library_errors_name(str(file)):
            self.backend_tokenizer: Any = Tokenizer.from_file(str(file))
        self.backend_tokenizer.no_padding()
        # Its truncation is set for each call, and must not change while another thread's call runs.
        self._lock = Lock()
        self.inputs = tuple(inputs)
        self.pad_token_id = pad_token_id
        self.pad_token_type_id = pad_token_type_id
        self.unk_token = None if unk_token_id is None else self.backend_tokenizer.id_to_token(unk_token_id)
        self.truncation_side = truncation_side

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a text, or a pair, gets."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[str] | None = None,
        *,
        is_split_into_words: bool = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        stride: int = 0,
        return_overflowing_tokens: bool = False,
        verbose: bool = True,
    ) -> _Batch:
        """Tokenise a text, words, or lists of them, without padding.

        Args:
            text: The text or its words; or texts, or lists of words.
            text_pair: The second text, or second texts.
            is_split_into_words: Whether words are given.
            truncation: False; True, which cuts the longer text of a pair; or ``"only_first"``.
            max_length: The most tokens of a row, if they are cut.
            stride: Tokens that neighbouring parts of a row that was cut share.
            return_overflowing_tokens: Whether to return all parts, or the first.
            verbose: Of Transformers' tokenizers.
        """
        one = isinstance(text, str) or (is_split_into_words and not (text and isinstance(text[0], (list, tuple))))
        if one:
            rows = [(text, text_pair) if text_pair else text]
        else:
            rows = list(text if text_pair is None else zip(text, text_pair, strict=True))
        with self._lock:
            if truncation:
                self.backend_tokenizer.enable_truncation(
                    max_length,
                    stride=stride,
                    strategy=truncation if isinstance(truncation, str) else "longest_first",
                    direction=self.truncation_side,
                )
            else:
                self.backend_tokenizer.no_truncation()
            encodings = self.backend_tokenizer.encode_batch(rows, is_pretokenized=is_split_into_words)
        if return_overflowing_tokens:
            encodings = [window for encoding in encodings for window in (encoding, *encoding.overflowing)]
        return _Batch(encodings, self.inputs)
