"""Labels of an evaluation that are all the same, and scores that are no numbers: said once, by task and dataset."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from transformers.utils import logging

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig

__all__ = ["ConstantLabels", "ScoreRemarks"]

logger = logging.get_logger(__name__)


class ConstantLabels:
    """Notes, batch by batch, whether labels differ; where they do, little is looked at.

    Args:
        task: The task.
        targets: Names of the numbers that a label is made of; empty: a label is one answer.
    """

    def __init__(self, task: TaskConfig, targets: Sequence[str]) -> None:
        self._task, self._targets = task, list(targets)
        #: For each target, or for the whole, the value that all labels so far have, and their number.
        self._only: dict[int, tuple[Any, int]] = {}
        self._varied: set[int] = set()

    def add(self, references: Sequence[Any]) -> None:
        """Look at a batch's labels, as metrics compare them."""
        for target in range(max(1, len(self._targets))):
            if target not in self._varied:
                for value in _leaves([row[target] for row in references] if self._targets else references):
                    only, count = self._only.get(target, (value, 0))
                    if isinstance(value, Mapping) or value != only:
                        self._varied.add(target)
                        break
                    self._only[target] = only, count + 1

    def in_words(self) -> Iterator[str]:
        """Yield what all labels are, for the task or for each of its targets where they are."""
        for target, (value, count) in self._only.items():
            if target in self._varied or count < 2:
                continue
            labels = self._task.labels or ()
            is_class = not self._targets and isinstance(value, int) and not self._task.is_multi_label
            shown = labels[value] if is_class and 0 <= value < len(labels) else value
            of = f" of {self._targets[target]!r}" if self._targets else ""
            yield f"all {count:,} labels{of} are {shown!r}"


class ScoreRemarks:
    """Says of each task once what its scores do not show, however often it is scored."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, task: str, datasets: Collection[str], constants: ConstantLabels, scores: Mapping[str, float]) -> None:
        """Warn of labels that are all the same, and of metrics that are no numbers.

        Args:
            task: The task's name.
            datasets: Names of the datasets that label it.
            constants: What its labels are.
            scores: Its metrics.
        """
        where = f"Task {task!r}, {'datasets' if len(datasets) > 1 else 'dataset'} {listed(datasets)}"
        for words in constants.in_words():
            self._say(f"{where}: {words}, so scores do not show whether the task was learned.")
        undefined = [name for name, value in scores.items() if not math.isfinite(value) and name not in _REPEATED]
        if undefined:
            self._say(f"{where}: {listed(undefined)} is not a finite number on these rows. Look at metric and labels.")

    def _say(self, remark: str) -> None:
        if remark not in self._said:
            self._said.add(remark)
            logger.warning(remark)


#: Metrics that are others again, or are reported as a divergence.
_REPEATED = ("loss", "score")


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the single labels of nested lists; null and NaN are none."""
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        for item in value.tolist() if hasattr(value, "tolist") else value:
            yield from _leaves(item)
    elif value is not None and (isinstance(value, Mapping) or value == value):
        yield value
