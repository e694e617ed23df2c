"""Which metrics a task has by its type. Reports read it as heads do, but without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from hf_mtl.configuration._task import TaskConfig
from hf_mtl_light.tags import infer_scheme

__all__ = ["TASK_TYPES", "default_metrics"]

#: Names of metrics, and the key of the one that stands for the task.
DefaultMetrics: TypeAlias = tuple[tuple[str, ...], str]

_CLASS: DefaultMetrics = ("accuracy", "f1"), "accuracy"
_LABELS: DefaultMetrics = ("multilabel_f1",), "f1_micro"
_ENTITIES: DefaultMetrics = ("seqeval",), "f1"
_TAGS: DefaultMetrics = ("tag_accuracy",), "accuracy"
_NUMBERS: DefaultMetrics = ("pearson", "spearman", "mean_absolute_error"), "pearson"


def _of_classes(task: TaskConfig) -> DefaultMetrics:
    return _LABELS if task.is_multi_label else _CLASS


def _of_tags(task: TaskConfig) -> DefaultMetrics:
    is_plain = (task.options.get("scheme") or infer_scheme(task.labels or ())) == "plain"
    return _TAGS if is_plain else _ENTITIES


#: Task type -> its metrics, or how they follow from the task.
_OF_TYPE: dict[str, DefaultMetrics | Callable[[TaskConfig], DefaultMetrics]] = {
    "sequence-classification": _of_classes,
    "multi-label-classification": _of_classes,
    "sentiment": (("accuracy", "f1", "quadratic_weighted_kappa"), "accuracy"),
    "token-classification": _of_tags,
    "crf-tagging": _of_tags,
    "regression": _NUMBERS,
    "masked-lm": (("masked_accuracy",), "masked_accuracy"),
    "question-answering": (("squad",), "f1"),
    "multiple-choice": (("accuracy",), "accuracy"),
    "image-classification": _of_classes,
    "image-regression": _NUMBERS,
    "object-detection": (("coco_detection",), "map"),
}
#: The task types that the library has: those of `hf_mtl.heads.HEADS`.
TASK_TYPES = tuple(_OF_TYPE)


def default_metrics(task: TaskConfig, type: str | None = None) -> DefaultMetrics:
    """Return the names of the metrics of a task's type, and the key of the one that stands for the task.

    Args:
        task: The task.
        type: The type whose metrics it has, where that is not its own.

    Raises:
        KeyError: If the library does not know the type.

    >>> default_metrics(TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"]))
    (('seqeval',), 'f1')
    """
    found = _OF_TYPE[type or task.type]
    return found(task) if callable(found) else found
