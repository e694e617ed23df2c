"""Applies augmentations to training rows: each change is a function of (seed, dataset, row, pass over the dataset)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hf_mtl.augmentation._base import Augmentation
from hf_mtl.augmentation._units import tags_of
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["Augmenter"]


class Augmenter:
    """Changes rows as they are drawn, by several augmentations in order.

    Args:
        augmentations: The augmentations by name.
        seed: Names the random numbers.
        tagging: For each dataset the tasks whose labels are one for each word.
        factors: For each optimizer step, from 0, its learning rate over the highest; empty where no augmentation
            follows it.
    """

    def __init__(
        self,
        augmentations: Mapping[str, Augmentation],
        seed: int,
        tagging: Mapping[str, Collection[str]],
        factors: Sequence[float] = (),
    ) -> None:
        self._augmentations = dict(augmentations)
        self._seed = seed
        self._tagging = {name: list(tasks) for name, tasks in tagging.items()}
        self._factors = np.asarray(factors, dtype=np.float64)

    def __call__(self, row: Row, step: int) -> Row:
        """Return a row as it is trained on.

        Args:
            row: The row, with the pass that it was drawn in.
            step: The optimizer step that it is trained in, from 0.

        Raises:
            ValueError: If an augmentation returns what is no row, or one whose text or tags do not fit.
        """
        for name, common in self._augmentations.items():
            if not common.takes(row.dataset):
                continue
            augmentation = common.of(row.dataset)
            # Keyed by names: neither batches nor ranks nor other augmentations move the stream.
            key = f"{self._seed}\0{name}\0{row.dataset}\0{row.index}\0{row.drawn}".encode()
            rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big"))
            p = augmentation.p
            if augmentation.schedule == "learning-rate":
                p *= float(self._factors[min(step, len(self._factors) - 1)])
            if rng.random() < p:
                tagging = self._tagging.get(row.dataset, [])
                row = self._checked(name, row, augmentation.augment(row, rng, tagging), tagging)
        return row

    def _checked(self, name: str, row: Row, new: Row, tagging: Sequence[str]) -> Row:
        where = f"Dataset {row.dataset!r}, row {row.index}: augmentation {name!r} returned"
        if not isinstance(new, Row):
            raise UserError(f"{where} {type(new).__name__}. Return a row: dataclasses.replace(row, text=...).")
        if not new.text and row.text:
            raise UserError(f"{where} an empty text. Return the row itself where nothing would be left.")
        for task, tags in tags_of(new, tagging).items():
            if len(tags) != len(new.text):
                raise UserError(
                    f"{where} {len(tags)} tags of task {task!r} for {len(new.text)} words. Return one each."
                )
        return new
