"""Mentions of entities replaced by others of their type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_mtl.augmentation._rated import LearnedAugmentation
from hf_mtl.augmentation._units import with_units
from hf_mtl_light.encoding import Row

__all__ = ["MentionReplacement"]

Mention = tuple[tuple[str, ...], tuple[str, ...]]


def _mentions(tags: Sequence[Any]) -> list[tuple[int, int, str]]:
    """Return first word, end and key of each mention: its type and whether it opens with a tag of a start."""
    found: list[tuple[int, int, str]] = []
    for i, tag in enumerate(tags):
        letter, dash, kind = str(tag).partition("-") if isinstance(tag, str) else ("", "", "")
        if not dash or letter not in "BIESLU":
            continue
        last = found[-1] if found else None
        follows = last is not None and last[1] == i and last[2].partition("-")[2] == kind
        if follows and letter in "IEL" and str(tags[i - 1])[0] not in "ESLU":
            assert last is not None
            found[-1] = (last[0], i + 1, last[2])
        else:
            found.append((i, i + 1, f"{'I' if letter in 'IEL' else 'B'}-{kind}"))
    return found


@dataclass(frozen=True, kw_only=True)
class MentionReplacement(LearnedAugmentation):
    """Replace mentions by others of the same type, drawn from those of the training rows as often as they occur.

    Args:
        rate: The probability of each mention of a changed row, in [0, 1].

    Source: Dai & Adel, An Analysis of Simple Data Augmentation for Named Entity Recognition, COLING 2020.
    """

    rate: float = 0.5
    title: ClassVar[str] = "mention replacement"

    def entries(self, row: Row, task: str) -> Iterator[tuple[str, Mention]]:
        """Yield the row's mentions by task and type."""
        tags = row.labels[task]
        for first, end, kind in _mentions(tags):
            yield f"{task} {kind}", (tuple(row.text[first:end]), tuple(tags[first:end]))

    def augment(self, row: Row, rng: np.random.Generator, tagging: Sequence[str]) -> Row:
        """Replace mentions of the text."""
        task = self.tagged_task(row, tagging)
        if task is None:
            return row
        words, tags = list(row.text), list(row.labels[task])
        for first, end, kind in reversed(_mentions(tags)):
            if rng.random() < self.rate and (known := self._known.get(f"{task} {kind}")):
                new_words, new_tags = known[rng.integers(len(known))]
                words[first:end], tags[first:end] = new_words, new_tags
        return with_units(row, words, {**row.labels, task: tags})
