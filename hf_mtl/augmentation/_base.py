"""What an augmentation is: a random change of a training row that leaves its labels right."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from hf_mtl._names import listed
from hf_mtl._options import Configurable, check_number
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.heads import Head

__all__ = ["SCHEDULES", "Augmentation"]

SCHEDULES = ("constant", "learning-rate")

A = TypeVar("A", bound="Augmentation")


@dataclass(frozen=True, kw_only=True)
class Augmentation(Configurable):
    """Changes training rows, each with a probability.

    Args:
        p: The probability that a row is changed, each time that it is drawn, in [0, 1].
        schedule: ``"constant"``, or ``"learning-rate"``: at step t the probability is ``p * lr(t) / max lr``.
        datasets: Names of the datasets whose rows are changed; ``None``: all.

    Raises:
        ValueError: If an option is out of its range.
    """

    p: float = 0.5
    schedule: str = "constant"
    datasets: Collection[str] | None = None

    #: What it does, for messages: "word deletion".
    title: ClassVar[str] = ""
    #: Whether it needs tags of words, one task of them.
    needs_tags: ClassVar[bool] = False
    #: Whether answers that are spans of the context, and texts that are masked, would no longer fit.
    moves_text: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("p", self.p, 0, 1)
        if self.schedule not in SCHEDULES:
            raise UserError(f"schedule must be one of {listed(SCHEDULES)}, found {self.schedule!r}.")
        if isinstance(self.datasets, str) or (
            self.datasets is not None and not all(isinstance(name, str) for name in self.datasets)
        ):
            raise UserError(f"datasets must be a list of names, found {self.datasets!r}.")

    def takes(self, dataset: str) -> bool:
        """Return whether rows of a dataset are changed."""
        return self.datasets is None or dataset in self.datasets

    def of(self: A, dataset: str) -> Augmentation:
        """Return the augmentation as it is for the rows of a dataset that it takes."""
        return self

    def check(self, dataset: str, inputs: Collection[str], heads: Mapping[str, type[Head]]) -> None:
        """Check that rows of a dataset can be changed so that all their labels stay right.

        Args:
            dataset: Its name.
            inputs: Its input columns.
            heads: The head class of each task that it labels.

        Raises:
            ValueError: If they cannot; the message names augmentation, dataset and task.
        """
        for task, head in heads.items():
            if self.moves_text and (head.reads == "context" or head.column_is_input):
                kind = "answers that are spans of the text" if head.reads == "context" else "its own masked text"
                raise self.refusal(dataset, task, f"needs {kind}, which {self.title} would change")
        if self.needs_tags:
            tagging = [task for task, head in heads.items() if head.needs_words]
            if len(tagging) != 1:
                found = f"it labels {listed(tagging)}" if tagging else "it labels none"
                raise UserError(
                    f"Dataset {dataset!r}: {self.title} needs rows with the tags of one task, and {found}. "
                    f"Name the datasets that it is for: datasets: [...]."
                )

    def refusal(self, dataset: str, task: str, why: str) -> UserError:
        """Return the error of a task that it cannot be applied to."""
        return UserError(
            f"Dataset {dataset!r}, task {task!r}: {self.title} is not applied to this task, which {why}. "
            f"Name the datasets that it is for: datasets: [...]."
        )

    def for_tokenizer(self: A, tokenizer: Any) -> A:
        """Return the augmentation as it is for a tokenizer."""
        return self

    def learned(self: A, rows: Iterable[tuple[Row, str]]) -> A:
        """Return the augmentation with what it takes from the training rows, each with its task of tags."""
        return self

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Return a changed row; the row given is not changed.

        Args:
            row: The row.
            rng: The only source of random numbers.
            tagging: The tasks whose labels are one for each word of the row.
        """
        raise NotImplementedError
