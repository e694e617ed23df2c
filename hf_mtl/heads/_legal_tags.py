"""Which tag may follow which in a scheme, and the best tags of a text among those that may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from hf_mtl.heads._chain import Chains, lay_out
from hf_mtl.heads._schemes import as_iobes, split_tag

__all__ = ["LegalTags", "best_legal_tags"]

#: The least log-probability of a tag, in nats. A tag that the logits rule out altogether is still better than an
#: illegal one; added up over any text, float64 keeps the small differences beside it.
_FLOOR = -1e6


@dataclass(frozen=True)
class LegalTags:
    """Which sequences of C tags are legal.

    Args:
        starts: [C] bool, whether a text may begin with the tag.
        pairs: [C, C] bool, whether the column's tag may follow the row's.
        ends: [C] bool, whether a text may end with the tag.
    """

    starts: torch.Tensor
    pairs: torch.Tensor
    ends: torch.Tensor

    @classmethod
    def of(cls, labels: Sequence[str], scheme: str) -> LegalTags | None:
        """Return what is legal in a scheme.

        Args:
            labels: The C tags.
            scheme: One of ``"IOB1"``, ``"IOB2"``, ``"IOBES"``, ``"BILOU"`` and ``"plain"``.

        Returns:
            ``None`` where nothing is ruled out: in plain tags, and where no label can stand alone and repeatedly (no
            ``O`` and the like), so that a text of some length has no legal tags at all.

        >>> LegalTags.of(["O", "B-x", "I-x", "I-y"], "IOB2").pairs.tolist()[1]  # behind B-x
        [True, True, True, False]
        """
        return _legal_tags(tuple(labels), scheme)

    def to(self, device: torch.device) -> LegalTags:
        """Return the same on another device."""
        return LegalTags(self.starts.to(device), self.pairs.to(device), self.ends.to(device))

    def broken_by(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which texts' tags are illegal, [R] bool.

        Args:
            ids: [n] int64 tag ids, text after text.
            lengths: [R] int64, the words of each text, together n.
        """
        text = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths)
        edge = text.diff() != 0
        wrong = torch.zeros_like(ids, dtype=torch.bool)
        if len(ids):
            wrong[1:] = ~torch.where(edge, self.starts[ids[1:]], self.pairs[ids[:-1], ids[1:]])
            wrong[:-1] |= edge & ~self.ends[ids[:-1]]
            wrong[0] |= ~self.starts[ids[0]]
            wrong[-1] |= ~self.ends[ids[-1]]
        return torch.zeros_like(lengths).index_add(0, text, wrong.long()) > 0


@lru_cache(maxsize=256)
def _legal_tags(labels: tuple[str, ...], scheme: str) -> LegalTags | None:
    if scheme == "plain":
        return None
    outside = ("O", "")
    tags = [split_tag(as_iobes(label)) for label in labels]
    legal = LegalTags(
        torch.tensor([_may_follow(outside, tag, scheme) for tag in tags]),
        torch.tensor([[_may_follow(before, tag, scheme) for tag in tags] for before in tags]),
        torch.tensor([_may_follow(tag, outside, scheme) for tag in tags]),
    )
    return legal if bool((legal.starts & legal.pairs.diagonal() & legal.ends).any()) else None


def _may_follow(before: tuple[str, str], tag: tuple[str, str], scheme: str) -> bool:
    """Return whether a tag, as prefix and type in the letters of IOBES, may follow another; ends of texts are O."""
    continues = before[0] in "BI" and before[1] == tag[1]
    if scheme == "IOB1":
        # B parts two entities of one type and stands nowhere else.
        return tag[0] != "B" or continues
    if tag[0] in "IE":
        return continues
    return scheme == "IOB2" or before[0] in "OES"


def best_legal_tags(logits: torch.Tensor, legal: LegalTags | None, lengths: torch.Tensor | None = None) -> torch.Tensor:
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
    >>> best_legal_tags(torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]), legal).tolist()
    [1, 2]
    """
    ids = logits.argmax(-1)
    if legal is None:
        return ids
    legal = legal.to(logits.device)
    lengths = torch.tensor([len(ids)], device=ids.device) if lengths is None else lengths.to(ids.device)
    broken = legal.broken_by(ids, lengths).nonzero()[:, 0]
    if not len(broken):
        return ids
    chosen = lay_out(lengths[broken])
    _, words = lay_out(lengths).select(broken)
    scores = logits[words].double().nan_to_num(nan=-1e30, posinf=1e30, neginf=-1e30).log_softmax(-1).clamp(min=_FLOOR)
    starts, pairs, ends = (
        torch.zeros_like(may, dtype=scores.dtype).masked_fill(~may, -torch.inf)
        for may in (legal.starts, legal.pairs, legal.ends)
    )
    best = Chains(chosen.pad(scores), chosen.lengths, starts, pairs, ends).best()
    return ids.index_copy(0, words, chosen.flatten(best))
