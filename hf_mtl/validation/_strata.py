"""What folds are balanced by: the labels, the entity types or the size of a row's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import LABELS, Head, head_class

__all__ = ["strata_of"]

#: Into so many parts of equal size numbers are cut.
_QUANTILES = 5


def strata_of(
    name: str, data: Dataset, tasks: Sequence[TaskConfig], heads: Mapping[str, type[Head]] | None = None
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield the number of each row with each task and stratum that it belongs to.

    One label a row: the label. Several: each of them. Tags: each entity type, or each tag where tags form no entities.
    Objects: each of their labels, or that there is none. Numbers: the fifth that the number lies in, of several numbers
    that of the first. Other answers: none.

    Args:
        name: Name of the dataset.
        data: The rows.
        tasks: The tasks.
        heads: Further task types and their heads.
    """
    classes = {task.name: head_class(task, heads) for task in tasks}
    dataset = LabelledDataset(name, data, tasks, classes)
    for task in dataset.tasks:
        head, config = classes[task], dataset.task_config(task)
        labels = list(dataset.labels(task))
        if head.is_regression:
            yield from _quantiles(task, labels)
        elif head.takes_labels:
            for row, label in labels:
                for stratum in _of_label(config, head, label):
                    yield row, (task, stratum)


def _quantiles(task: str, labels: list[tuple[int, Any]]) -> Iterator[tuple[int, tuple[str, str]]]:
    first = [(row, value[0] if isinstance(value, (list, tuple)) else value) for row, value in labels]
    known = [(row, float(value)) for row, value in first if value is not None]
    if not known:
        return
    values = np.array([value for _, value in known])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    for (row, _), fifth in zip(known, np.searchsorted(edges, values, side="right").tolist(), strict=True):
        yield row, (task, str(fifth))


def _of_label(task: TaskConfig, head: type[Head], label: Any) -> set[str]:
    if head.labels_objects:
        return {str(name) for name in label[LABELS] if name is not None} or {""}
    reference = head.reference(task, label)
    names = task.labels or ()
    if head.needs_words:
        tags = {tag for tag in reference if tag is not None and tag != "O"}
        return {tag[2:] if tag[1:2] == "-" and len(tag) > 2 else tag for tag in tags}
    if task.is_multi_label:
        return {name for name, is_set in zip(names, reference, strict=True) if is_set}
    return {str(reference)}
