"""An augmentation whose options are those of each dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_mtl.augmentation._base import Augmentation
from hf_mtl_light.encoding import Row

if TYPE_CHECKING:
    from hf_mtl.heads import Head

__all__ = ["AugmentationByDataset"]


@dataclass(frozen=True, kw_only=True)
class AugmentationByDataset(Augmentation):
    """Changes the rows of each dataset with its own options.

    Args:
        members: For each dataset the augmentation of its rows.
    """

    members: Mapping[str, Augmentation]

    @classmethod
    def of_members(cls, members: Mapping[str, Augmentation]) -> AugmentationByDataset:
        """Return the augmentation of several datasets."""
        follows = any(member.schedule == "learning-rate" for member in members.values())
        return cls(members=members, datasets=list(members), schedule="learning-rate" if follows else "constant")

    def options(self) -> dict[str, Any]:
        """Return all options of each dataset."""
        return {"datasets": {name: _but_datasets(member.options()) for name, member in self.members.items()}}

    def of(self, dataset: str) -> Augmentation:
        """Return the augmentation of a dataset's rows."""
        return self.members[dataset]

    def check(self, dataset: str, inputs: Collection[str], heads: Mapping[str, type[Head]]) -> None:
        """Check that rows of a dataset can be changed so that all their labels stay right."""
        self.members[dataset].check(dataset, inputs, heads)

    def for_tokenizer(self, tokenizer: Any) -> AugmentationByDataset:
        """Return the augmentation as it is for a tokenizer."""
        return replace(self, members={name: member.for_tokenizer(tokenizer) for name, member in self.members.items()})

    def learned(self, rows: Iterable[tuple[Row, str]]) -> AugmentationByDataset:
        """Return the augmentation with what it takes from the training rows of all its datasets."""
        known = list(rows) if any(member.needs_tags for member in self.members.values()) else []
        return replace(self, members={name: member.learned(known) for name, member in self.members.items()})


def _but_datasets(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "datasets"}
