"""What a training method is: a loss that is added to those of the tasks in every step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hf_mtl._names import listed, nearest
from hf_mtl._options import Configurable, check_number
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

# Methods and their options are read without torch: what a step needs is imported in a step.
if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from hf_mtl.data import LabelledDataset
    from hf_mtl.heads import Head
    from hf_mtl.training_methods._micro_batch import MicroBatch

__all__ = ["SCOPES", "TrainingMethod", "TrainingStart"]

#: What the norm of a perturbation is that of.
SCOPES = ("row", "token")


@dataclass(frozen=True)
class TrainingStart:
    """A training that is about to begin, as methods see it that read models or files.

    Args:
        heads: The head of each task with training rows.
        datasets: The training datasets.
        tokenizer: The tokenizer, if texts are read.
        image_processor: What makes pixels of pictures, if these are read.
        max_length: The most tokens of a row.
        device: Where the model computes.
        steps: All optimizer steps of the training.
        changes_rows: Whether rows are augmented.
    """

    heads: Mapping[str, Head]
    datasets: Mapping[str, LabelledDataset]
    tokenizer: PreTrainedTokenizerBase | None
    image_processor: Any
    max_length: int
    device: torch.device
    steps: int
    changes_rows: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingMethod(Configurable):
    """Adds a loss to each task's own.

    Args:
        alpha: How much it weighs, at least 0; at 0 nothing is computed and training is as without it.
        tasks: Names of the tasks whose losses it adds to; ``None``: all.

    Raises:
        ValueError: If an option is out of its range.
    """

    alpha: float = 1.0
    tasks: Collection[str] | None = None

    #: Whether it compares two answers, which a task's head must define: `Head.divergence_sum`.
    compares_answers: ClassVar[bool] = False
    #: Whether it adds a loss, for the log; else it acts by `around_pass` alone.
    adds_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("alpha", self.alpha, 0)
        if isinstance(self.tasks, str) or (
            self.tasks is not None and not all(isinstance(name, str) for name in self.tasks)
        ):
            raise UserError(f"tasks must be a list of names, found {self.tasks!r}.")

    @property
    def is_off(self) -> bool:
        """Whether it has nothing to add by its options."""
        return self.alpha == 0

    @property
    def moves_embeddings(self) -> bool:
        """Whether it adds to the embeddings of tokens, which pictures have none of."""
        return False

    def takes(self, task: str) -> bool:
        """Return whether it adds to the loss of a task."""
        return self.tasks is None or task in self.tasks

    def check(self, name: str, heads: Mapping[str, Head]) -> None:
        """Check that it can be applied to the tasks of a model.

        Args:
            name: What it is called.
            heads: The head of each task.

        Raises:
            ValueError: If it names a task that does not exist, or takes one whose answers it cannot compare, or one of
                pictures whose embeddings it would move.
        """
        from hf_mtl.heads import Head

        for task in self.tasks or ():
            if task not in heads:
                raise UserError(
                    f"method {name!r} names {task!r}, which is no task of the model.{nearest(task, heads)} Tasks: "
                    f"{listed(heads)}."
                )
        for task, head in heads.items():
            if self.takes(task) and self.compares_answers and type(head).divergence_sum is Head.divergence_sum:
                raise UserError(
                    f"method {name!r}, task {task!r}: {type(head).__name__} does not say how far two answers "
                    "differ. Define its divergence_sum, or name the tasks that the method is for: tasks: [...]."
                )
            if self.takes(task) and self.moves_embeddings and head.modality() == "image":
                raise UserError(
                    f"method {name!r}, task {task!r}: it moves the embeddings of tokens, and the task reads pictures. "
                    "Name the tasks that the method is for: tasks: [...]."
                )

    def begin(self, start: TrainingStart) -> TrainingMethod:
        """Return the method as it works in one training, with what it reads of models and files."""
        return self

    @property
    def teaches_rows(self) -> bool:
        """Whether `taught_rows` returns any."""
        return False

    def taught_rows(self, rows: Sequence[Row]) -> Sequence[Row] | None:
        """Return training rows with what is to be learned beside their labels in the labels' place; ``None``: nothing.

        It comes to `added_losses` as `MicroBatch.taught`. Called where rows are read, in the workers.
        """
        return None

    def around_pass(self, heads: Mapping[str, Head], progress: float) -> AbstractContextManager[None]:
        """Return the context in which each pass of a step runs, the plain one and all further ones.

        Args:
            heads: The head of each task that the method takes.
            progress: The fraction of the training that is over, in [0, 1].
        """
        return nullcontext()

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return what is added to the losses of some tasks of a micro-batch.

        Each is a scalar, this micro-batch's part of a mean over the items of the whole step: a sum over the items here,
        divided by `MicroBatch.num_items`. It is weighted like the task's own loss. What it draws at random follows the
        rows, not the batch: `MicroBatch.noise`.

        Args:
            batch: The micro-batch, whose tasks are those that the method takes.
        """
        raise NotImplementedError
