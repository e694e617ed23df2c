"""Augmentations with a rate within a row, and those that draw from the tagged training rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from hf_mtl._options import check_number
from hf_mtl.augmentation._base import Augmentation
from hf_mtl_light.encoding import Row

__all__ = ["LearnedAugmentation", "RatedAugmentation"]

L = TypeVar("L", bound="LearnedAugmentation")


@dataclass(frozen=True, kw_only=True)
class RatedAugmentation(Augmentation):
    """Changes a part of a row.

    Args:
        rate: How much of a changed row, in [0, 1]; of what, each class says.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("rate", self.rate, 0, 1)


@dataclass(frozen=True, kw_only=True)
class LearnedAugmentation(RatedAugmentation):
    """Draws from the words of the training rows, by their tags of one task."""

    needs_tags: ClassVar[bool] = True
    _known: dict[Any, list[Any]] = field(default_factory=dict, repr=False, init=False)

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of the options."""
        return [name for name in super().option_names() if not name.startswith("_")]

    def learned(self: L, rows: Iterable[tuple[Row, str]]) -> L:
        """Return the augmentation with what the training rows hold."""
        made = replace(self)
        for row, task in rows:
            for key, value in self.entries(row, task):
                made._known.setdefault(key, []).append(value)
        return made

    def entries(self, row: Row, task: str) -> Iterable[tuple[Any, Any]]:
        """Return what a row adds: keys, and what is drawn by each."""
        raise NotImplementedError

    @staticmethod
    def tagged_task(row: Row, tagging: Sequence[str]) -> str | None:
        """Return the task whose tags a row has, ``None`` if it has none."""
        return next((task for task in tagging if task in row.labels), None)
