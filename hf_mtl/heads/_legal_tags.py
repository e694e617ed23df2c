"""Legal tags for logits of one's own, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hf_mtl.heads._numerics import as_array
from hf_mtl_light.tags import LegalTags as ArrayTags
from hf_mtl_light.tags import best_legal_tags as best_of_arrays

__all__ = ["LegalTags", "best_legal_tags"]


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
        legal = ArrayTags.of(labels, scheme)
        return None if legal is None else cls(*(torch.tensor(may) for may in (legal.starts, legal.pairs, legal.ends)))

    def to(self, device: torch.device) -> LegalTags:
        """Return the same on another device."""
        return LegalTags(self.starts.to(device), self.pairs.to(device), self.ends.to(device))

    def broken_by(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return which texts' tags are illegal, [R] bool.

        Args:
            ids: [n] int64 tag ids, text after text.
            lengths: [R] int64, the words of each text, together n.
        """
        return torch.from_numpy(self._arrays().broken_by(as_array(ids), as_array(lengths))).to(ids.device)

    def _arrays(self) -> ArrayTags:
        return ArrayTags(as_array(self.starts), as_array(self.pairs), as_array(self.ends))


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
    ids = best_of_arrays(
        as_array(logits), None if legal is None else legal._arrays(), None if lengths is None else as_array(lengths)
    )
    return torch.from_numpy(ids).to(logits.device)
