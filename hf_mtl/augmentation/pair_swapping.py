"""The two texts of a pair exchanged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hf_mtl.augmentation._base import Augmentation
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.heads import Head

__all__ = ["PairSwapping"]


@dataclass(frozen=True, kw_only=True)
class PairSwapping(Augmentation):
    """Exchange ``text`` and ``text_pair``, for tasks whose labels hold in both directions.

    Args:
        symmetric: The tasks that are so, such as paraphrase and similarity; entailment is not.
    """

    symmetric: Collection[str] = ()
    title: ClassVar[str] = "pair swapping"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.symmetric, str) or not self.symmetric:
            raise UserError(f"symmetric must be a list of symmetric tasks, found {self.symmetric!r}.")

    def check(self, dataset: str, inputs: Collection[str], heads: Mapping[str, type[Head]]) -> None:
        """Check that rows are pairs and each of their tasks is symmetric."""
        super().check(dataset, inputs, heads)
        if "text_pair" not in inputs or "tokens" in inputs:
            raise UserError(
                f"Dataset {dataset!r}: pair swapping needs columns 'text' and 'text_pair'. Name the datasets that it "
                "is for: datasets: [...]."
            )
        for task in heads:
            if task not in self.symmetric:
                raise self.refusal(dataset, task, "is not among its symmetric tasks")

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Exchange the texts."""
        assert isinstance(row.text, str)
        return row if row.text_pair is None else replace(row, text=row.text_pair, text_pair=row.text)
