"""Tags of words: their schemes, which of them may follow which, and the entities that they spell.

`TagDecoder` finds the tags of the words of a batch (`WordRuns`), `entities` joins them.
"""

from __future__ import annotations

from hf_mtl_light.tags._decoding import TagDecoder, WordByWord
from hf_mtl_light.tags._entities import entities, tagged_words
from hf_mtl_light.tags._legal_tags import LegalTags, best_legal_tags
from hf_mtl_light.tags._schemes import (
    SCHEMES,
    as_iobes,
    check_tags,
    infer_scheme,
    inside_tag,
    observed_scheme,
    split_tag,
)
from hf_mtl_light.tags._viterbi import best_sequences
from hf_mtl_light.tags._word_runs import WordRuns

__all__ = [
    "NO_ANSWER",
    "SCHEMES",
    "LegalTags",
    "TagDecoder",
    "WordByWord",
    "WordRuns",
    "as_iobes",
    "best_legal_tags",
    "best_sequences",
    "check_tags",
    "entities",
    "infer_scheme",
    "inside_tag",
    "observed_scheme",
    "split_tag",
    "tagged_words",
]

#: The answer for a word without a sub-word, which has no logits: outside of every entity. Of plain tags no label is
#: named so, and metrics count it as wrong.
NO_ANSWER = "O"
