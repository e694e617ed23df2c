"""Labels that are distributions: a probability, or a number of votes, for each of a task's labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig, value_text
from hf_mtl.heads._labels import LabelError, label_index, shortened

__all__ = [
    "ClassTarget",
    "class_target",
    "class_tensor",
    "distribution",
    "has_class",
    "is_soft",
    "likeliest",
    "numbers_by_label",
    "tempered",
    "tempered_groups",
    "token_tensor",
]

#: A label as a head of classes learns it: the class, or the probability of each.
ClassTarget = int | list[float]


def is_soft(value: Any) -> bool:
    """Return whether a label is written as a distribution: a mapping, or a list with numbers and no names.

    >>> is_soft([0.2, 0.8]), is_soft({"bad": 3}), is_soft(["bad"]), is_soft("bad"), is_soft([None])
    (True, True, False, False, False)
    """
    if isinstance(value, Mapping):
        return True
    if not isinstance(value, (list, tuple)) or any(isinstance(item, str) for item in value):
        return False
    return any(isinstance(item, (int, float)) for item in value)


def numbers_by_label(task: TaskConfig, value: Any, row: int, what: str = "probabilities or votes") -> list[float]:
    """Return the number that a mapping or a list gives to each of the task's labels, in their order.

    A label that a mapping lacks, or gives null, has the number 0.

    Args:
        task: The task.
        value: What `is_soft` says to be a distribution.
        row: Position of the row, for the error.
        what: What the numbers are, for the error.

    Raises:
        LabelError: If a name is unknown, the list has another length, or a number is negative or not finite.
    """
    labels = task.labels or ()
    if isinstance(value, Mapping):
        numbers = dict.fromkeys(labels, 0.0)
        for key, number in value.items():
            name = key if key in numbers else task.label_values.get(value_text(key), value_text(key))
            if name not in numbers:
                raise LabelError(
                    row,
                    f"{what} of {shortened(key)}, which is not one of the task's {len(labels)} labels: "
                    f"{listed(labels)}.{nearest(str(name), labels)}",
                )
            numbers[name] = 0.0 if number is None else number
        found = list(numbers.values())
    else:
        found = list(value)
        if len(found) != len(labels):
            raise LabelError(
                row,
                f"{len(found)} {what}, {shortened(found)}, for the task's {len(labels)} labels. Give one number for "
                f"each of {listed(labels)}, in this order, or a mapping from their names.",
            )
    for number in found:
        if not isinstance(number, (int, float)) or not math.isfinite(number) or number < 0:
            raise LabelError(
                row,
                f"found {shortened(number)} among {what}, {shortened(value)}. Each must be a finite number of at "
                "least 0.",
            )
    return [float(number) for number in found]


def distribution(task: TaskConfig, value: Any, row: int) -> list[float]:
    """Return the probability of each of the task's labels, with the sum 1.

    Args:
        task: The task.
        value: Probabilities or votes, as `is_soft` knows them.
        row: Position of the row, for the error.

    Raises:
        LabelError: If it is no distribution over the task's labels.

    >>> distribution(TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"]), {"good": 3, "bad": 1}, 0)
    [0.25, 0.0, 0.75]
    """
    numbers = numbers_by_label(task, value, row)
    total = sum(numbers)
    if not 0 < total < math.inf:
        raise LabelError(
            row,
            f"probabilities or votes {shortened(value)} with the sum {total:g}. Give at least one label a number above "
            "0, or null in place of all for a row without a label.",
        )
    return [number / total for number in numbers]


def class_target(task: TaskConfig, value: Any, row: int) -> ClassTarget:
    """Return the class of a label, or the probability of each class where it is a distribution.

    Raises:
        LabelError: If it is neither a label of the task nor a distribution over its labels.
    """
    if is_soft(value):
        return distribution(task, value, row)
    if isinstance(value, (list, tuple)):
        raise LabelError(
            row,
            f"found a list of labels, {shortened(list(value))}, where there is one label. For several annotators' "
            "votes count them, {'label': 2, 'other': 1}; for any number of labels use the type "
            "'multi-label-classification'.",
        )
    return label_index(task, value, row)


def likeliest(label: ClassTarget) -> int:
    """Return the class that metrics compare with: the first of those with the largest probability."""
    return label if isinstance(label, int) else max(range(len(label)), key=label.__getitem__)


def class_tensor(labels: Sequence[ClassTarget], count: int) -> torch.Tensor:
    """Return [R] int64 class ids; where a label is a distribution, [R, C] float32 probabilities.

    Args:
        labels: R labels.
        count: C.
    """
    if all(isinstance(label, int) for label in labels):
        return torch.tensor(labels)
    rows = [label if isinstance(label, list) else [float(i == label) for i in range(count)] for label in labels]
    return torch.tensor(rows, dtype=torch.float32)


def token_tensor(
    rows: Sequence[Sequence[ClassTarget | None]], count: int, no_label: int, soft: bool = False
) -> torch.Tensor:
    """Return [R, L] int64 class ids of tokens; where one has a distribution, [R, L, C] float32 probabilities.

    Args:
        rows: A label for each of L tokens, or ``None``.
        count: C.
        no_label: What a token without a label gets, in each of its C places.
        soft: Whether to return probabilities, also where there are none.
    """
    if not soft and not any(isinstance(label, list) for row in rows for label in row):
        return torch.tensor([[no_label if label is None else label for label in row] for row in rows])
    nothing, certain = [float(no_label)] * count, torch.eye(count).tolist()
    return torch.tensor(
        [
            [nothing if label is None else label if isinstance(label, list) else certain[label] for label in row]
            for row in rows
        ]
    )


def has_class(labels: torch.Tensor, no_label: float) -> torch.Tensor:
    """Return which items have a label, [n], of class ids [n] int64 or of probabilities [n, C], which are floating."""
    return labels[..., 0].ne(no_label) if labels.is_floating_point() else labels.ne(no_label)


def tempered(probabilities: torch.Tensor, temperature: float, *, each: bool = False) -> torch.Tensor:
    """Return the probabilities of logits that are divided by a temperature; what is negative, no label, stays.

    Args:
        probabilities: [n, C], those of the logits themselves.
        temperature: Above 0.
        each: Whether each label has a probability by itself; else the C are one distribution.

    >>> tempered(torch.tensor([[0.2, 0.8]]), 2.0)
    tensor([[0.3333, 0.6667]])
    """
    powers = probabilities.clamp(min=0) ** (1 / temperature)
    total = powers + (1 - probabilities).clamp(min=0) ** (1 / temperature) if each else powers.sum(-1, keepdim=True)
    return torch.where(probabilities < 0, probabilities, powers / total)


def tempered_groups(probabilities: torch.Tensor, groups: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the probabilities of logits that are divided by a temperature, of a softmax over each group of rows.

    Args:
        probabilities: [n, C], those of the logits themselves; each column is by itself.
        groups: [n] int64, each row's group, from 0 on.
        temperature: Above 0.
    """
    powers = probabilities ** (1 / temperature)
    total = powers.new_zeros(int(groups.max()) + 1, powers.shape[1]).index_add(0, groups, powers)
    return powers / total[groups]
