r"""FreeLB: train on each row at all points of an ascent against the model, not on the last alone.

.. math:: (1 - \alpha) L(x) + \alpha \frac{1}{K} \sum_{k=0}^{K-1} L(x + \delta_k)

Source: C. Zhu et al., FreeLB: Enhanced Adversarial Training for Natural Language Understanding, ICLR 2020, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_mtl._options import check_number
from hf_mtl.training_methods._adversary import SteppedAdversary, gradient_of

if TYPE_CHECKING:
    import torch

    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["FreeLB"]


@dataclass(frozen=True, kw_only=True)
class FreeLB(SteppedAdversary):
    """Puts the mean loss of the points of an ascent in the place of the loss, or of a part of it.

    Args:
        alpha: The part, in [0, 1].
        steps: The number of points, K, the first of which is random.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, 0, 1)

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return alpha times what the mean losses of the points exceed the plain ones by."""
        import torch

        delta = self.start(batch).requires_grad_()
        points = []
        for left in reversed(range(self.steps)):
            output = batch.again(delta)
            points.append(output.losses)
            if left:
                gradient = gradient_of(self.objective(batch, output), delta, keep=True)
                delta = self.ascend(batch, delta, gradient).requires_grad_()
        return {
            name: self.alpha * (torch.stack([losses[name] for losses in points]).mean() - loss)
            for name, loss in batch.losses.items()
        }
