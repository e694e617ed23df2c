"""The contract of a balancer: from what a step holds to the factor of each task's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hf_mtl._options import Configurable

__all__ = ["Balancer", "State", "Step", "TaskFacts"]

#: What a balancer has learnt: numbers, texts, lists and dicts, as JSON holds them.
State = dict[str, Any]


@dataclass(frozen=True)
class TaskFacts:
    """What a balancer may know of a task.

    Args:
        name: The task's name.
        is_regression: Whether its loss is a squared error, a Gaussian likelihood but for its scale. Else it is a
            cross-entropy.
        num_classes: C; 1 for regression.
        weight: The task's own factor, ``TaskConfig.weight``, at least 0.
        loss_scale: What the task's loss is divided by before a balancer sees it, above 0.
        rows: Training rows of the datasets that label it, at least 1; of a stream, the rows that the training draws.
    """

    name: str
    is_regression: bool = False
    num_classes: int = 2
    weight: float = 1.0
    loss_scale: float = 1.0
    rows: int = 1


@dataclass(frozen=True)
class Step:
    """What an optimizer step holds, over all its micro-batches and all ranks, and what is known before it.

    Args:
        number: Number of the step, from 0.
        epoch: Number of the epoch, from 0.
        shares: For each task with rows in the step, in the order of the tasks, its share of them, in (0, 1].
        losses: For each of these tasks its mean loss, divided by ``TaskFacts.loss_scale``; empty where the balancer
            asked for none.
        losses_after: The same losses once more after the optimizer's step, on the same rows with the same dropout;
            empty where the balancer asked for none.
        tasks: The tasks that have training rows, in the model's order.
        seed: Names the random numbers, if the method draws any.
        state: What the balancer has learnt in earlier steps: what `Balancer.begin`, then `Balancer.learn` returned.
    """

    number: int
    epoch: int
    shares: Mapping[str, float]
    losses: Mapping[str, float] = field(default_factory=dict)
    losses_after: Mapping[str, float] = field(default_factory=dict)
    tasks: Sequence[TaskFacts] = ()
    seed: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)


class Balancer(Configurable, ABC):
    r"""Weighs tasks: the step's loss is :math:`\sum_t w_t L_t` over the tasks that the step has rows of.

    :math:`L_t` is the task's mean loss over the whole optimizer step. The trainer calls `begin` when a training
    begins, then for each step `relative_weights` before the gradient and `learn` after the optimizer's step, with the
    same numbers on every rank. So weights are constant within a step, and neither accumulation nor ranks change them.

    A balancer itself remembers nothing: what it has learnt goes in with `Step.state` and out as JSON, and into
    checkpoints. Subclasses that have options are frozen dataclasses whose fields are these, as samplers are.

    A user's own is passed to ``MultiTaskTrainer(balancer=...)``:

    >>> class FirstTaskTwice(Balancer):
    ...     def relative_weights(self, step):
    ...         return {name: 2.0 if name == step.tasks[0].name else 1.0 for name in step.shares}
    >>> tasks = [TaskFacts("intent"), TaskFacts("mood")]
    >>> FirstTaskTwice().weights(Step(number=0, epoch=0, shares={"intent": 0.5, "mood": 0.5}, tasks=tasks))
    {'intent': 1.0, 'mood': 0.5}
    """

    #: Whether the method is defined only where a step has rows of every task.
    requires_all_tasks: ClassVar[bool] = False
    #: Whether `relative_weights` needs ``step.losses``: one more forward pass a step, unless it is one micro-batch.
    weighs_current_losses: ClassVar[bool] = False
    #: Whether `learn` needs ``step.losses``: one small sum over ranks a step.
    observes_losses: ClassVar[bool] = False
    #: Whether `learn` needs ``step.losses_after``: one more forward pass a step.
    compares_losses: ClassVar[bool] = False

    def begin(self, tasks: Sequence[TaskFacts]) -> State:  # most methods learn nothing
        """Return what is known before the first step.

        Args:
            tasks: The tasks that have training rows, in the model's order.

        Raises:
            ValueError: If an option does not fit them.
        """
        return {}

    @abstractmethod
    def relative_weights(self, step: Step) -> dict[str, float]:
        """Return for each task of ``step.shares`` a finite weight of at least 0; 1 is the weight of equals."""

    def weights(self, step: Step) -> dict[str, float]:
        """Return for each task of ``step.shares`` the factor of its mean loss.

        The relative weight times the task's own, divided by the number of tasks in the step: a step that holds one
        task trains it as it would be trained alone, and sums over tasks that a paper writes become means, so that
        learning rate and clipping mean the same for every method.
        """
        own = {task.name: task.weight for task in step.tasks}
        relative = self.relative_weights(step)
        return {name: own[name] * relative[name] / len(step.shares) for name in step.shares}

    def learn(self, step: Step) -> State:
        """Return what is known after a step. A task that it has no rows of keeps its weight.

        Args:
            step: The step, with the losses that the balancer asked for.
        """
        return dict(step.state)
