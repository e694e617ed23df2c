r"""Linear chains in log space: the sum over all sequences of tags, the best one, and the probability of each tag.

A sequence :math:`y` of W tags scores

.. math:: s(y) = b_{y_1} + \sum_{t=1}^{W} e_{t, y_t} + \sum_{t=2}^{W} T_{y_{t-1}, y_t} + f_{y_W}

Everything runs over a batch of chains at once, in the dtype of its scores: float64 where scores are added up.

Source: J. Lafferty, A. McCallum, F. Pereira, Conditional Random Fields, ICML 2001, section 3; C. Sutton, A. McCallum,
An Introduction to Conditional Random Fields, 2012, section 3.1, https://arxiv.org/abs/1011.4088
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_mtl.encoder import FlatLayout
from hf_mtl.heads._numerics import as_array
from hf_mtl_light.tags import best_sequences

__all__ = ["Chains", "lay_out"]


def lay_out(lengths: torch.Tensor) -> FlatLayout:
    """Return where words that are joined end to end, ``lengths`` [R] int64 a chain, lie when padded.

    >>> lay_out(torch.tensor([2, 0, 1])).pad(torch.tensor([5, 6, 7])).tolist()
    [[5, 6], [0, 0], [7, 0]]
    """
    longest = int(lengths.max()) if len(lengths) else 0
    return FlatLayout.from_mask(torch.arange(longest, device=lengths.device) < lengths[:, None])


class _Moves:
    """One step along a chain: ``log(exp(scores) @ exp(pairs))`` as a matrix product, many times as fast as logsumexp.

    It underflows where pairs lie further apart than the dtype's exponent reaches: 700 nats in float64.

    Args:
        pairs: [C, C].
    """

    def __init__(self, pairs: torch.Tensor) -> None:
        self._shift = pairs.detach().amax()
        self._factors = (pairs - self._shift).exp()

    def sum(self, scores: torch.Tensor) -> torch.Tensor:
        """Return, for scores [R, C] of the tags before, the logarithms of the sums over them, [R, C]."""
        shift = scores.detach().amax(-1, keepdim=True)
        return ((scores - shift).exp() @ self._factors).log() + shift + self._shift


@dataclass(frozen=True)
class Chains:
    """Scores of R chains of at most W words, each of which bears one of C tags.

    Args:
        emissions: e, [R, W, C]; minus infinity forbids a tag. What lies after a chain's end is not read.
        lengths: [R] int64, the words of each chain, 0 to W.
        starts: b, [C].
        pairs: T, [C, C], from the row's tag to the column's.
        ends: f, [C].
    """

    emissions: torch.Tensor
    lengths: torch.Tensor
    starts: torch.Tensor
    pairs: torch.Tensor
    ends: torch.Tensor

    def _forward(self) -> torch.Tensor:
        """Return the logarithm of the summed scores of what leads to each tag, [R, W, C]; stale after the end."""
        moves = _Moves(self.pairs)
        sums = [self.starts + self.emissions[:, 0]]
        for word in range(1, self.emissions.shape[1]):
            led = moves.sum(sums[-1]) + self.emissions[:, word]
            sums.append(torch.where((word < self.lengths)[:, None], led, sums[-1]))
        return torch.stack(sums, 1)

    def _is_empty(self) -> bool:
        return 0 in self.emissions.shape[:2]

    def log_partition(self) -> torch.Tensor:
        """Return the logarithm of the sum of exp(s) over all sequences, [R]; 0 for a chain without words."""
        if self._is_empty():
            return self.emissions.sum((1, 2))
        total = (self._forward()[:, -1] + self.ends).logsumexp(-1)
        return torch.where(self.lengths > 0, total, 0.0)

    def score(self, tags: torch.Tensor) -> torch.Tensor:
        """Return s of given tags [R, W] int64, [R]; what lies after a chain's end is not read."""
        if self._is_empty():
            return self.emissions.sum((1, 2))
        inside = torch.arange(tags.shape[1], device=tags.device) < self.lengths[:, None]
        last = tags.gather(1, (self.lengths - 1).clamp(min=0)[:, None])[:, 0]
        emitted = self.emissions.gather(2, tags[:, :, None])[:, :, 0]
        moved = self.pairs[tags[:, :-1], tags[:, 1:]]
        total = torch.where(inside, emitted, 0.0).sum(1) + torch.where(inside[:, 1:], moved, 0.0).sum(1)
        return torch.where(self.lengths > 0, total + self.starts[tags[:, 0]] + self.ends[last], 0.0)

    def expected_score(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the mean of s where each word's tag is drawn by itself, of probabilities [R, W, C], [R]."""
        if self._is_empty():
            return self.emissions.sum((1, 2))
        words = torch.arange(probabilities.shape[1], device=probabilities.device)
        p = probabilities.masked_fill((words >= self.lengths[:, None])[..., None], 0.0)
        last = p[torch.arange(len(p), device=p.device), (self.lengths - 1).clamp(min=0)]
        total = (p * self.emissions).sum((1, 2)) + ((p[:, :-1] @ self.pairs) * p[:, 1:]).sum((1, 2))
        return torch.where(self.lengths > 0, total + p[:, 0] @ self.starts + last @ self.ends, 0.0)

    def best(self) -> torch.Tensor:
        """Return a sequence of the highest s (Viterbi), [R, W] int64; of tags that tie the first one, from the end.

        After a chain's end its last tag is repeated.
        """
        scores = (self.emissions, self.lengths, self.starts, self.pairs, self.ends)
        return torch.from_numpy(best_sequences(*map(as_array, scores))).to(self.emissions.device)

    def marginals(self) -> torch.Tensor:
        """Return the probability of each tag of each word, exp(s) normalised, [R, W, C]; 0 after a chain's end."""
        if self._is_empty():
            return self.emissions.clone()
        inside = torch.arange(self.emissions.shape[1], device=self.lengths.device) < self.lengths[:, None]
        return torch.where(inside[:, :, None], self._joint().softmax(-1), 0.0)

    def log_marginals(self) -> torch.Tensor:
        """Return the logarithm of `marginals`, [R, W, C], also where they underflow; stale after a chain's end."""
        return self.emissions.clone() if self._is_empty() else self._joint().log_softmax(-1)

    def _joint(self) -> torch.Tensor:
        """Return the logarithm of the summed scores of all that passes each tag, [R, W, C]; stale after the end."""
        width = self.emissions.shape[1]
        forward = self._forward()
        moves = _Moves(self.pairs.T)
        follow = [self.ends.expand_as(forward[:, 0])]
        for word in range(width - 2, -1, -1):
            led = moves.sum(follow[-1] + self.emissions[:, word + 1])
            follow.append(torch.where((word < self.lengths - 1)[:, None], led, self.ends))
        return forward + torch.stack(follow[::-1], 1)
