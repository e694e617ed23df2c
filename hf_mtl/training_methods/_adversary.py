"""Adversarial perturbations of each row's embeddings: found by gradients, bounded by a norm."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_mtl._names import listed
from hf_mtl._options import check_number
from hf_mtl.training_methods._base import SCOPES, TrainingMethod
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    import torch

    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["AdversarialMethod", "MixedAdversary", "SteppedAdversary", "gradient_of"]


@dataclass(frozen=True, kw_only=True)
class AdversarialMethod(TrainingMethod):
    """Perturbs the embeddings of each row against the model.

    All passes have the dropout of the plain one, so that a direction is that of the function that is trained.

    Args:
        epsilon: The largest norm of a perturbation, in the unit of the embeddings; at 0 nothing is computed.
        norm: What has that norm: each ``"row"`` or each ``"token"``.

    Raises:
        ValueError: If an option is out of its range.
    """

    epsilon: float = 0.1
    norm: str = "row"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("epsilon", self.epsilon, 0)
        if self.norm not in SCOPES:
            raise UserError(f"norm must be one of {listed(SCOPES)}, found {self.norm!r}.")

    @property
    def is_off(self) -> bool:
        """Whether it has nothing to add by its options."""
        return super().is_off or self.epsilon == 0

    @property
    def moves_embeddings(self) -> bool:
        """It does."""
        return True

    def objective(self, batch: MicroBatch, output: Any) -> torch.Tensor:
        """Return what the perturbation is to raise, a scalar: the weighted losses of a pass."""
        return batch.weighted(output.losses)

    @abstractmethod
    def perturbation(self, batch: MicroBatch) -> torch.Tensor:
        """Return what is added to the embeddings, [N, H]."""

    def gradient(self, batch: MicroBatch, delta: torch.Tensor) -> torch.Tensor:
        """Return the gradient of the objective with respect to a perturbation, [N, H]."""
        delta = delta.detach().requires_grad_()
        return gradient_of(self.objective(batch, batch.again(delta)), delta)


def gradient_of(objective: torch.Tensor, delta: torch.Tensor, keep: bool = False) -> torch.Tensor:
    """Return the gradient with respect to a perturbation alone: no parameter gets one.

    Args:
        objective: A scalar.
        delta: [N, H].
        keep: Whether the objective will be differentiated again.
    """
    import torch

    return torch.autograd.grad(objective, delta, retain_graph=keep)[0]


@dataclass(frozen=True, kw_only=True)
class MixedAdversary(AdversarialMethod):
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


@dataclass(frozen=True, kw_only=True)
class SteppedAdversary(AdversarialMethod):
    """Finds a perturbation by projected gradient ascent from a random start.

    Args:
        steps: Number of steps of the ascent, at least 1.
        step_size: The norm of each, in the unit of the embeddings.
    """

    steps: int = 3
    step_size: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("steps", self.steps, 1, whole=True)
        check_number("step_size", self.step_size, 0, above=True)

    def start(self, batch: MicroBatch) -> torch.Tensor:
        """Return the perturbation before the first step, drawn for each row."""
        return batch.noise(self.epsilon, self.norm, type(self).__name__)

    def ascend(self, batch: MicroBatch, delta: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return a perturbation one step further along a gradient, within the norm."""
        from hf_mtl.training_methods._perturbation import of_norm, within

        step = of_norm(gradient, self.step_size, batch.layout, self.norm)
        return within(delta.detach() + step, self.epsilon, batch.layout, self.norm)

    def perturbation(self, batch: MicroBatch) -> torch.Tensor:
        """Return what is added to the embeddings, [N, H]."""
        delta = self.start(batch)
        for _ in range(self.steps):
            delta = self.ascend(batch, delta, self.gradient(batch, delta))
        return delta
