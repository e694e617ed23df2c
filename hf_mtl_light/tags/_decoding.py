"""From the logits of words to their tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hf_mtl_light.numerics import softmax
from hf_mtl_light.tags._legal_tags import LegalTags, best_legal_tags

__all__ = ["TagDecoder", "WordByWord"]


class TagDecoder(Protocol):
    """What finds the tags of words."""

    def decode(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the tag ids [n] of words.

        Args:
            logits: [n, C] of the words' first tokens, run after run.
            lengths: [R] int64, the words of each run, together n.
        """
        ...

    def probabilities(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the probability of each tag of words, [n, C], from what `decode` takes."""
        ...


@dataclass(frozen=True)
class WordByWord:
    """Words whose tags depend on each other by what is legal only.

    Args:
        legal: Which sequences may be answered; ``None``: all.
    """

    legal: LegalTags | None

    def decode(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the tag ids [n] of the likeliest legal sequences: see `TagDecoder`."""
        return best_legal_tags(logits, self.legal, lengths)

    def probabilities(self, logits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the probability of each tag of words, [n, C]."""
        return softmax(logits)
