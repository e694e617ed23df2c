"""Which tag may follow which in a scheme, and the best tags of a text among those that may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hf_mtl_light.tags._schemes import as_iobes, split_tag
from hf_mtl_light.tags._viterbi import best_sequences, laid_out

__all__ = ["LegalTags", "best_legal_tags"]

#: The least log-probability of a tag, in nats. A tag that the logits rule out altogether is still better than an
#: illegal one; added up over any text, float64 keeps the small differences beside it.
_FLOOR = -1e6


@dataclass(frozen=True, eq=False)
class LegalTags:
    """Which sequences of C tags are legal.

    Args:
        starts: [C] bool, whether a text may begin with the tag.
        pairs: [C, C] bool, whether the column's tag may follow the row's.
        ends: [C] bool, whether a text may end with the tag.
    """

    starts: np.ndarray
    pairs: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[str], scheme: str) -> LegalTags | None:
        """Return what is legal in a scheme.

        Args:
            labels: The C tags.
            scheme: One of ``"IOB1"``, ``"IOB2"``, ``"IOBES"``, ``"BILOU"`` and ``"plain"``.

        Returns:
            ``None`` where nothing is ruled out: in plain tags, and where no label is legal alone and repeatedly (no
            ``O`` and the like), so that a text of some length has no legal tags at all.

        >>> LegalTags.of(["O", "B-x", "I-x", "I-y"], "IOB2").pairs.tolist()[1]  # after B-x
        [True, True, True, False]
        """
        return _legal_tags(tuple(labels), scheme)

    def broken_by(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return which texts' tags are illegal, [R] bool.

        Args:
            ids: [n] int64 tag ids, text after text.
            lengths: [R] int64, the words of each text, together n.
        """
        text = np.repeat(np.arange(len(lengths)), lengths)
        wrong = np.zeros(len(ids), dtype=bool)
        if len(ids):
            edge = np.diff(text) != 0
            wrong[1:] = ~np.where(edge, self.starts[ids[1:]], self.pairs[ids[:-1], ids[1:]])
            wrong[:-1] |= edge & ~self.ends[ids[:-1]]
            wrong[0] |= ~self.starts[ids[0]]
            wrong[-1] |= ~self.ends[ids[-1]]
        broken: np.ndarray = np.bincount(text[wrong], minlength=len(lengths)) > 0
        return broken


@lru_cache(maxsize=256)
def _legal_tags(labels: tuple[str, ...], scheme: str) -> LegalTags | None:
    if scheme == "plain":
        return None
    outside = ("O", "")
    tags = [split_tag(as_iobes(label)) for label in labels]
    legal = LegalTags(
        np.array([_may_follow(outside, tag, scheme) for tag in tags]),
        np.array([[_may_follow(before, tag, scheme) for tag in tags] for before in tags]),
        np.array([_may_follow(tag, outside, scheme) for tag in tags]),
    )
    return legal if bool((legal.starts & legal.pairs.diagonal() & legal.ends).any()) else None


def _may_follow(before: tuple[str, str], tag: tuple[str, str], scheme: str) -> bool:
    """Return whether a tag, as prefix and type in the letters of IOBES, may follow another; ends of texts are O."""
    continues = before[0] in "BI" and before[1] == tag[1]
    if scheme == "IOB1":
        # B separates two entities of one type and is used nowhere else.
        return tag[0] != "B" or continues
    if tag[0] in "IE":
        return continues
    return scheme == "IOB2" or before[0] in "OES"


def best_legal_tags(logits: np.ndarray, legal: LegalTags | None, lengths: np.ndarray | None = None) -> np.ndarray:
    """Return the tags of the highest probability among legal sequences.

    The probability of a sequence is the product of its tags', as everywhere in tagging without a CRF. Texts whose
    single best tags are legal keep them; the others are decoded by Viterbi's algorithm.

    Args:
        logits: [n, C] of the words (or tokens) of all texts, text after text; any values, also infinite ones.
        legal: What is legal; ``None`` takes the best tag of each word.
        lengths: [R] int64, the words of each text, together n; ``None``: one text.

    Returns:
        [n] int64 tag ids. Where two sequences tie, one of them.

    >>> legal = LegalTags.of(["O", "B-x", "I-x"], "IOB2")
    >>> best_legal_tags(np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), legal).tolist()
    [1, 2]
    """
    ids: np.ndarray = logits.argmax(-1)
    if legal is None:
        return ids
    lengths = np.array([len(ids)]) if lengths is None else lengths
    broken = np.flatnonzero(legal.broken_by(ids, lengths))
    if not len(broken):
        return ids
    words = np.flatnonzero(np.repeat(np.isin(np.arange(len(lengths)), broken), lengths))
    places = laid_out(lengths[broken])
    emissions = np.zeros((*places.shape, logits.shape[1]))
    emissions[places] = np.maximum(_log_softmax(logits[words]), _FLOOR)
    starts, pairs, ends = (np.where(may, 0.0, -np.inf) for may in (legal.starts, legal.pairs, legal.ends))
    ids[words] = best_sequences(emissions, lengths[broken], starts, pairs, ends)[places]
    return ids


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = np.nan_to_num(logits.astype(np.float64), nan=-1e30, posinf=1e30, neginf=-1e30)
    wide -= wide.max(-1, keepdims=True)
    result: np.ndarray = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return result
