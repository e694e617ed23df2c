r"""FGM: train on each row moved in the direction that raises its loss the fastest.

.. math:: (1 - \alpha) L(x) + \alpha L(x + \epsilon g / \|g\|), \quad g = \nabla_x L(x)

Source: T. Miyato, A. Dai, I. Goodfellow, Adversarial Training Methods for Semi-Supervised Text Classification, ICLR
2017, eq. 5, of each row's embeddings. The mean of both losses (I. Goodfellow et al., Explaining and Harnessing
Adversarial Examples, ICLR 2015, section 5) in place of their sum keeps the meaning of the learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_mtl._options import check_number
from hf_mtl.training_methods._adversary import AdversarialMethod
from hf_mtl.training_methods._micro_batch import MicroBatch
from hf_mtl.training_methods._perturbation import of_norm

__all__ = ["FGM"]


@dataclass(frozen=True, kw_only=True)
class FGM(AdversarialMethod):
    """Puts the loss of perturbed rows in the place of a part of the loss.

    Args:
        alpha: The part, in [0, 1].
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, 0, 1)

    def perturbation(self, batch: MicroBatch) -> torch.Tensor:
        """Return what is added to the embeddings, [N, H]."""
        return of_norm(self.gradient(batch, batch.zeros()), self.epsilon, batch.layout, self.norm)

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return alpha times what the losses of the perturbed pass exceed the plain ones by."""
        perturbed = batch.again(self.perturbation(batch))
        return {name: self.alpha * (perturbed.losses[name] - loss) for name, loss in batch.losses.items()}
