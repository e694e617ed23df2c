r"""FGM: train on each row moved in the direction that raises its loss the fastest.

.. math:: (1 - \alpha) L(x) + \alpha L(x + \epsilon g / \|g\|), \quad g = \nabla_x L(x)

Source: T. Miyato, A. Dai, I. Goodfellow, Adversarial Training Methods for Semi-Supervised Text Classification, ICLR
2017, eq. 5, of each row's embeddings. The mean of both losses (I. Goodfellow et al., Explaining and Harnessing
Adversarial Examples, ICLR 2015, section 5) in place of their sum keeps the meaning of the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_mtl.training_methods._adversary import MixedAdversary

if TYPE_CHECKING:
    import torch

    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["FGM"]


@dataclass(frozen=True, kw_only=True)
class FGM(MixedAdversary):
    """Moves each row along its gradient: see `MixedAdversary`."""

    def perturbation(self, batch: MicroBatch) -> torch.Tensor:
        """Return what is added to the embeddings, [N, H]."""
        from hf_mtl.training_methods._perturbation import of_norm

        return of_norm(self.gradient(batch, batch.zeros()), self.epsilon, batch.layout, self.norm)
