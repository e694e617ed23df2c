"""Which task a key such as ``eval_qa_long_f1`` belongs to, by the names of the tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hf_mtl.configuration import TaskConfig

__all__ = ["DETAIL_KEYS", "split_metrics", "without_details"]

#: The `detail_keys` of the library's metrics, which to import takes seconds.
DETAIL_KEYS = frozenset(
    (
        *("precision", "recall", "f1", "support", "exact_match", "map"),
        *("pearson", "spearman", "mean_absolute_error", "mean_squared_error"),
    )
)

#: What an evaluation reports of all tasks together.
_GENERAL = ("loss", "score", "runtime", "samples", "samples_per_second", "steps_per_second", "jit_compilation_time")


def split_metrics(metrics: Mapping[str, Any], prefix: str, tasks: Collection[str]) -> dict[str, dict[str, float]]:
    """Return each task's metrics; where two names fit a key, it is the longer one's.

    Args:
        metrics: What ``trainer.evaluate`` returned or logged.
        prefix: The prefix of its keys.
        tasks: Names of the tasks.

    >>> split_metrics({"eval_qa_f1": 0.5, "eval_qa_long_f1": 0.25, "eval_score": 1}, "eval", ["qa", "qa_long"])
    {'qa': {'f1': 0.5}, 'qa_long': {'f1': 0.25}}
    """
    found: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        name = key.removeprefix(f"{prefix}_")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name == key or name in _GENERAL or not is_number:
            continue
        task = max((task for task in tasks if name.startswith(f"{task}_")), key=len, default=None)
        if task is not None:
            found.setdefault(task, {})[name[len(task) + 1 :]] = float(value)
    return found


def without_details(metrics: Mapping[str, float], task: TaskConfig | None) -> dict[str, float]:
    """Return a task's metrics less those of its single labels and entity types.

    Args:
        metrics: The metrics.
        task: The task; ``None`` leaves all in.

    >>> without_details(
    ...     {"f1": 0.5, "city_f1": 0.5}, TaskConfig("slots", "token-classification", labels=["O", "B-city"])
    ... )
    {'f1': 0.5}
    """
    labels = [] if task is None else [str(label) for label in task.labels or ()]
    named = {*labels, *(label.partition("-")[2] or label for label in labels)}
    details = {f"{label}_{key}" for label in named for key in DETAIL_KEYS}
    kept = (task.main_metric,) if task is not None else ()
    return {key: value for key, value in metrics.items() if key not in details or key in kept}
