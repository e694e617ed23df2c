r"""Adversarial tasks: the head learns to answer, the encoder learns to make that impossible.

Between the encoder's states and the head lies a gradient reversal: forwards the identity, backwards the factor
:math:`-\lambda`. The head's loss is its own, as plain training has it; the encoder learns from :math:`\sum_t w_t L_t -
\lambda w_d L_d`, with the adversarial task d not among the t. Where the answer is the row's dataset or domain, its
states then say little of where it comes from, and what is learned from one is good for the others.

Sources: Y. Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17(59), 2016, eq. 13 to 18 and section
5.2.2 (schedule). P. Liu, X. Qiu, X. Huang, Adversarial Multi-task Learning for Text Classification, ACL 2017, section
4.1: the shared layers are those that the head reads (`TaskConfig.layers`), the private ones a branch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from hf_mtl._names import listed
from hf_mtl.training_methods._base import TrainingMethod
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    import torch

    from hf_mtl.heads import Head
    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["SCHEDULES", "TaskAdversary"]

SCHEDULES = ("growing", "constant")


@dataclass(frozen=True, kw_only=True)
class TaskAdversary(TrainingMethod):
    """Lets the encoder unlearn what some tasks ask.

    Args:
        alpha: The factor of the reversed gradient when it is largest, at least 0; at 0 the encoder learns nothing of
            the tasks, neither for nor against them.
        tasks: Names of the adversarial tasks, which are classifications of a row: required.
        schedule: ``"growing"``: the factor is ``alpha * (2 / (1 + exp(-10 p)) - 1)`` with p the fraction of the
            training that is over; ``"constant"``.

    Raises:
        ValueError: If an option is out of its range, or no task is named.
    """

    schedule: str = "growing"

    adds_loss: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule not in SCHEDULES:
            raise UserError(f"schedule must be one of {listed(SCHEDULES)}, found {self.schedule!r}.")
        if not self.tasks:
            raise UserError("tasks must name the tasks that the encoder is to unlearn, such as tasks: [domain].")

    @property
    def is_off(self) -> bool:
        """Whether it has nothing to do by its options: with ``alpha`` 0 it still keeps the encoder from learning."""
        return False

    def check(self, name: str, heads: Mapping[str, Head]) -> None:
        """Check that the tasks exist, are classifications of a row, and share no head."""
        super().check(name, heads)
        for task in self.tasks or ():
            head = heads[task]
            if head.level != "sequence" or head.is_regression or head.task.is_multi_label or not head.task.labels:
                raise UserError(
                    f"method {name!r}, task {task!r}: a task of the type {head.task.type!r} is not supported. An "
                    "adversarial task has one label a row: use the type 'sequence-classification'."
                )
            sharing = [other for other, held in heads.items() if held.classifier is head.classifier and other != task]
            if sharing:
                raise UserError(
                    f"method {name!r}, task {task!r} has one head with {listed(sharing)}, whose gradient would be "
                    "reversed, too. Give it its own: leave tied_to out."
                )

    def factor(self, progress: float) -> float:
        """Return the factor of the reversed gradient.

        Args:
            progress: The fraction of the training that is over, in [0, 1].
        """
        return self.alpha * (math.tanh(5 * progress) if self.schedule == "growing" else 1.0)

    @contextmanager
    def around_pass(self, heads: Mapping[str, Head], progress: float) -> Iterator[None]:
        """Reverse the gradients of the tasks' heads in the passes within a context."""
        from hf_mtl.training_methods._reversal import reverse

        factor = self.factor(progress)
        with ExitStack() as handles:
            for head in heads.values():
                handles.callback(head.register_forward_pre_hook(partial(reverse, factor=factor)).remove)
            yield

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return nothing: the tasks' own losses are all there is."""
        return {}
