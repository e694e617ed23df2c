"""Which metrics a task has by its type. Reports read it as heads do, but without importing torch."""

from __future__ import annotations

from typing import TypeAlias

from hf_mtl.configuration._task import TaskConfig
from hf_mtl_light.tags import infer_scheme

__all__ = ["default_metrics"]

#: Names of metrics, and the key of the one that stands for the task.
DefaultMetrics: TypeAlias = tuple[tuple[str, ...], str]

_CLASS: DefaultMetrics = ("accuracy", "f1"), "accuracy"
_LABELS: DefaultMetrics = ("multilabel_f1",), "f1_micro"
_ENTITIES: DefaultMetrics = ("seqeval",), "f1"
_TAGS: DefaultMetrics = ("tag_accuracy",), "accuracy"
_NUMBERS: DefaultMetrics = ("pearson", "spearman", "mean_absolute_error"), "pearson"
#: Task type -> its metrics, where its labels do not matter.
_OF_TYPE: dict[str, DefaultMetrics] = {
    "sentiment": (("accuracy", "f1", "quadratic_weighted_kappa"), "accuracy"),
    "regression": _NUMBERS,
    "image-regression": _NUMBERS,
    "masked-lm": (("masked_accuracy",), "masked_accuracy"),
    "question-answering": (("squad",), "f1"),
    "multiple-choice": (("accuracy",), "accuracy"),
    "object-detection": (("coco_detection",), "map"),
}
_OF_CLASSES = ("sequence-classification", "multi-label-classification", "image-classification")
_OF_TAGS = ("token-classification", "crf-tagging")


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
    type = type or task.type
    if type in _OF_CLASSES:
        return _LABELS if task.is_multi_label else _CLASS
    if type in _OF_TAGS:
        is_plain = (task.options.get("scheme") or infer_scheme(task.labels or ())) == "plain"
        return _TAGS if is_plain else _ENTITIES
    return _OF_TYPE[type]
