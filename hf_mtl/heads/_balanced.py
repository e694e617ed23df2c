"""Weights of labels that are learned from how often each occurs: what ``"balanced"`` stands for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch

from hf_mtl.configuration import BALANCED, TaskConfig

__all__ = [
    "MOST_POS_WEIGHT",
    "balanced_class_weights",
    "balanced_pos_weight",
    "learn_class_weights",
    "learn_pos_weight",
]

#: The most that "balanced" weighs the rows with a label by, and the inverse of the least: a label that a handful of
#: rows have would else rule the loss.
MOST_POS_WEIGHT = 100.0


def balanced_class_weights(counts: Sequence[float]) -> list[float]:
    r"""Return the class weights under which every class has the same part of the loss.

    .. math:: w_c = n / (C \, n_c)

    with :math:`n_c` the items of class c, n all items, and C the classes that occur. The weights of the items have the
    mean 1, so that the loss keeps its scale. A class without items gets the weight 1.

    Args:
        counts: The items of each class.

    Source: G. King, L. Zeng, Logistic Regression in Rare Events Data, Political Analysis 9(2), 2001, section 4.2, in
        the form of ``sklearn.utils.class_weight.compute_class_weight``.

    >>> balanced_class_weights([6, 2, 0])
    [0.6666666666666666, 2.0, 1.0]
    """
    occurring = sum(count > 0 for count in counts)
    return [sum(counts) / (occurring * count) if count else 1.0 for count in counts]


def balanced_pos_weight(positives: Sequence[float], rows: int) -> list[float]:
    r"""Return for each label the weight under which rows with and without it have the same part of the loss.

    .. math:: w_c = (n - n_c) / n_c

    with :math:`n_c` the rows that have label c and n all rows, kept within [1 / 100, 100] (`MOST_POS_WEIGHT`). A label
    that no row has gets the weight 1: it has no positive term to weigh.

    Args:
        positives: The rows that have each label.
        rows: All rows.

    >>> balanced_pos_weight([2, 10, 0], rows=10)
    [4.0, 0.01, 1.0]
    """
    return [
        min(max((rows - count) / count, 1 / MOST_POS_WEIGHT), MOST_POS_WEIGHT) if count else 1.0 for count in positives
    ]


def learn_class_weights(task: TaskConfig, labels: Iterable[int | Sequence[float]]) -> TaskConfig:
    """Return the task with the weights of its classes where they are to be balanced; else the task as it is.

    Args:
        task: The task.
        labels: The class of each training item, or the probability of each class, by which expected numbers of items
            are counted; they are read where they are needed.
    """
    if task.class_weights != BALANCED:
        return task
    counts = [0.0] * task.num_labels
    for label in labels:
        if isinstance(label, int):
            counts[label] += 1
        else:
            counts = [count + value for count, value in zip(counts, label, strict=True)]
    return dataclasses.replace(task, class_weights=balanced_class_weights(counts)) if any(counts) else task


def learn_pos_weight(task: TaskConfig, labels: Iterable[Sequence[float]]) -> TaskConfig:
    """Return the task with the weights of its positives where they are to be balanced; else the task as it is.

    Args:
        task: The task.
        labels: C zeros and ones, or probabilities, a training row; they are read where they are needed.
    """
    if task.pos_weight != BALANCED:
        return task
    rows, counts = 0, torch.zeros(task.num_labels, dtype=torch.float64)
    for flags in labels:
        rows += 1
        counts += torch.tensor(flags, dtype=torch.float64)
    return dataclasses.replace(task, pos_weight=balanced_pos_weight(counts.tolist(), rows)) if rows else task
