"""The keys that a task's metrics will have: a wrong one must not wait for the first evaluation to be found."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import head_class
from hf_mtl.metrics import StreamingMetric
from hf_mtl.recipe._mistakes import RecipeError, blamed_on
from hf_mtl.trainer import TaskScorer

__all__ = ["check_best_metric", "metric_names"]


def metric_names(task: TaskConfig) -> list[str] | None:
    """Return the keys of a task's metrics, or ``None`` where a metric from elsewhere may give any.

    Raises:
        RecipeError: If a metric is unknown, or ``main_metric`` is not among them.
    """
    where = f"tasks.{task.name}"
    with blamed_on(where, ValueError, TypeError, KeyError, OSError, ImportError):
        scorer = TaskScorer(task, head_class(task), task.metrics)
    names: list[str] = []
    for module in (*scorer.modules, *scorer.of_probabilities):
        if not isinstance(module, StreamingMetric):
            return None
        # Every label once, and right: the metric answers with all its keys.
        rows = module.example_rows(task.labels or ())
        module.add_batch(predictions=rows, references=rows)
        names += [key for key, value in (module.compute() or {}).items() if not isinstance(value, dict)]
    names += head_class(task).scores_of_loss(1.0)
    if task.main_metric is not None and task.main_metric not in names:
        raise RecipeError(
            f"{where}.main_metric",
            f"{task.main_metric!r} is not among the task's metrics: {listed(names)}.{nearest(task.main_metric, names)}",
        )
    return names


def check_best_metric(name: str | None, tasks: Sequence[TaskConfig]) -> None:
    """Check ``metric_for_best_model``.

    Raises:
        RecipeError: If no evaluation gives such a metric.
    """
    if name is None:
        return
    known = ["score", "loss"]
    for task in tasks:
        names = metric_names(task)
        if names is None:
            return
        known += [f"{task.name}_{key}" for key in (*names, "loss")]
    if name.removeprefix("eval_") not in known:
        raise RecipeError(
            "training.metric_for_best_model",
            f"no evaluation gives {name!r}.{nearest(name.removeprefix('eval_'), known)} Metrics: {listed(known)}.",
        )
