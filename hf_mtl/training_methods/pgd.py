r"""PGD: train on each row moved by several steps against the model, within a norm.

.. math:: \delta \leftarrow \Pi_{\|\delta\| \le \epsilon}(\delta + \eta g / \|g\|), \quad g = \nabla_x L(x + \delta)

Source: A. Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, section 2.1, with the
Euclidean norm of each row's embeddings. Both losses are mixed as by `FGM`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_mtl._options import check_number
from hf_mtl.training_methods._adversary import SteppedAdversary
from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["PGD"]


@dataclass(frozen=True, kw_only=True)
class PGD(SteppedAdversary):
    """Puts the loss of perturbed rows in the place of a part of the loss.

    Args:
        alpha: The part, in [0, 1].
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, 0, 1)

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return alpha times what the losses of the perturbed pass exceed the plain ones by."""
        perturbed = batch.again(self.perturbation(batch))
        return {name: self.alpha * (perturbed.losses[name] - loss) for name, loss in batch.losses.items()}
