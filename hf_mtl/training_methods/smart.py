r"""SMART: answers to a row are to change little where the row is moved against the model.

.. math:: L(x) + \alpha \max_{\|\delta\| \le \epsilon} D(f(x), f(x + \delta))

The maximum is approached by gradient ascent of the divergence itself, which needs no label's value; at :math:`\delta =
0` its gradient vanishes, so the ascent starts from noise. Every type of task that says how far two answers differ
can have it, tagging too.

Source: H. Jiang et al., SMART: Robust and Efficient Fine-Tuning for Pre-trained Natural Language Models through
Principled Regularized Optimization, ACL 2020, section 3.1. Its Bregman proximal steps (section 3.2), which keep a
second copy of the weights, are not included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hf_mtl._options import check_number
from hf_mtl.training_methods._adversary import SteppedAdversary

if TYPE_CHECKING:
    import torch

    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["SMART"]


@dataclass(frozen=True, kw_only=True)
class SMART(SteppedAdversary):
    """Adds the divergence of plain and perturbed answers.

    Args:
        noise: The largest norm of the start, in the unit of the embeddings.
    """

    epsilon: float = 0.5
    steps: int = 1
    step_size: float = 0.5
    noise: float = 0.01

    compares_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("noise", self.noise, 0, above=True)

    def start(self, batch: MicroBatch) -> torch.Tensor:
        """Return the perturbation before the first step, drawn for each row."""
        return batch.noise(min(self.noise, self.epsilon), self.norm, type(self).__name__)

    def objective(self, batch: MicroBatch, output: Any) -> torch.Tensor:
        """Return what the perturbation is to raise, a scalar: the weighted divergences from the plain pass."""
        return batch.weighted(batch.divergences(output))

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return alpha times the divergences of plain and perturbed answers."""
        apart = batch.divergences(batch.again(self.perturbation(batch)))
        return {name: self.alpha * value for name, value in apart.items()}
