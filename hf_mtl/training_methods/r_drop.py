r"""R-Drop: two passes with other dropout masks are to give the same answers.

.. math:: \tfrac12 (L_1 + L_2) + \alpha D(p_1, p_2)

with :math:`D` the mean of the Kullback-Leibler divergences in both directions, for any type of task that says how far
two answers differ.

Source: L. Wu et al., R-Drop: Regularized Dropout for Neural Networks, NeurIPS 2021, eq. 4 (with the mean of both
losses in place of their sum, so that the learning rate keeps its meaning). With ``noise``: A. Aghajanyan et al., Better
Fine-Tuning by Reducing Representational Collapse, ICLR 2021 (R3F).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hf_mtl._names import listed
from hf_mtl._options import check_number
from hf_mtl.training_methods._base import SCOPES, TrainingMethod
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    import torch

    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["RDrop"]


@dataclass(frozen=True, kw_only=True)
class RDrop(TrainingMethod):
    """Adds the divergence of two passes, and the second one's loss.

    Args:
        alpha: The weight of the divergence, at least 0.
        noise: Norm of the noise that is added to the embeddings in the second pass; 0: none. Encoders without dropout
            need it.
        norm: What has that norm at most: each ``"row"`` or each ``"token"``.

    Raises:
        ValueError: If an option is out of its range.
    """

    noise: float = 0.0
    norm: str = "row"

    compares_answers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("noise", self.noise, 0)
        if self.norm not in SCOPES:
            raise UserError(f"norm must be one of {listed(SCOPES)}, found {self.norm!r}.")

    @property
    def moves_embeddings(self) -> bool:
        """Whether it adds noise."""
        return self.noise > 0

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return half of what the second pass's losses exceed the first's by, and alpha times the divergences."""
        delta = batch.noise(self.noise, self.norm, "r-drop") if self.noise else None
        second = batch.again(delta, same_dropout=False)
        apart = batch.divergences(second)
        return {
            name: (second.losses[name] - loss) / 2 + self.alpha * apart[name] for name, loss in batch.losses.items()
        }
