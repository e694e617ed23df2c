"""Score a model on labelled datasets: every (dataset, task) once, metrics streamed batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import evaluate
import numpy as np

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import Head
from hf_mtl.metrics import (
    METRICS,
    PerTarget,
    RowStatistic,
    StreamingMetric,
    bootstrap_interval,
    load_metric,
)
from hf_mtl.trainer._constant_labels import ConstantLabels
from hf_mtl_light.errors import UserError

__all__ = ["Metric", "ScoredRows", "TaskScorer", "join_scores"]

#: A metric by name (of `hf_mtl.metrics.METRICS`, or for `evaluate.load`), as a module, or as a function of
#: predictions and references that returns a number or a dict of them.
Metric: TypeAlias = str | evaluate.EvaluationModule | Callable[[list[Any], list[Any]], Any]


@dataclass(frozen=True)
class ScoredRows:
    """A task's main score on the rows of one dataset.

    Args:
        metric: The key of the score.
        value: The score.
        rows: The rows with a label.
        low: Lower end of its interval of 95 %; ``None`` where it is no function of sums over rows.
        high: The upper end.
    """

    metric: str
    value: float
    rows: int
    low: float | None = None
    high: float | None = None


class TaskScorer:
    """Gathers one task's metrics over batches.

    Modules of `hf_mtl.metrics` keep counts; a module from `evaluate.load` keeps its inputs, and a function is given
    all predictions at the end.

    Args:
        task: The task.
        head: Its head class.
        metrics: Metrics in place of the task's own, which must be built in.

    Raises:
        ValueError: If a metric is unknown, or does not fit the task.
    """

    def __init__(self, task: TaskConfig, head: type[Head], metrics: Sequence[Metric] | None = None) -> None:
        self.task = task
        self.head = head
        names, _ = head.default_metrics(task)
        self.main = head.main_metric(task)
        if not metrics:
            _check_built_in(task)
        chosen: list[Metric] = list(metrics or task.metrics or names)
        self.modules: list[evaluate.EvaluationModule] = []
        #: Those that read probabilities, which are computed where there are some.
        self.of_probabilities: list[evaluate.EvaluationModule] = []
        self.functions: list[Callable[[list[Any], list[Any]], Any]] = []
        for metric in chosen:
            if isinstance(metric, str):
                self._check_kind(metric, names)
                if metric in METRICS and METRICS[metric].input_kind == "probabilities":
                    self.of_probabilities.append(load_metric(metric))
                    continue
                targets = head.targets(task)
                make = partial(load_metric, metric)
                self.modules.append(PerTarget(make, targets) if targets else make())
            elif isinstance(metric, evaluate.EvaluationModule):
                self.modules.append(metric)
            else:
                self.functions.append(metric)
        #: Whether its labels differ from one another.
        self.constants = ConstantLabels(task, head.targets(task))
        self._kept: tuple[list[Any], list[Any]] = ([], [])
        self.loss_sum, self.items, self.rows = 0.0, 0, 0
        #: What rows add to the main score; ``None`` where it is no function of sums over rows.
        self.statistic = self._row_statistic()
        self._row_sums: dict[str, list[Any]] = {}
        self._datasets: dict[str, None] = {}

    def _row_statistic(self) -> RowStatistic | None:
        """Return what rows add to the main score; of equal keys the last is reported, and a function can have any."""
        # Of a task without a list of labels the number of classes is not known.
        classes = self.task.num_labels if self.task.labels else None
        for module in () if self.functions else reversed(self.modules):
            if not isinstance(module, StreamingMetric):
                return None
            statistic = module.row_statistic(self.main, classes)
            if statistic is not None:
                return statistic
        return None

    def _check_kind(self, metric: str, names: Sequence[str]) -> None:
        kinds = [METRICS[names[0]].input_kind, *(["probabilities"] if self.head.is_calibratable(self.task) else [])]
        if metric in METRICS and METRICS[metric].input_kind not in kinds:
            fitting = [n for n, m in METRICS.items() if m.input_kind in kinds]
            raise UserError(
                f"Task {self.task.name!r}: metric {metric!r} does not fit the type {self.task.type!r}. "
                f"Metrics that do: {listed(fitting)}."
            )

    def add(
        self,
        predictions: list[Any],
        labels: Sequence[Any],
        loss_sum: float,
        items: int,
        datasets: Sequence[str] | None = None,
        probabilities: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Take a batch in.

        Args:
            predictions: One a row, as `Head.predictions` gives them.
            labels: The rows' labels as read.
            loss_sum: The loss summed over the batch's items.
            items: The batch's items.
            datasets: The dataset of each row, where `by_dataset` reports single ones.
            probabilities: Those of the batch's items and what is true of them, both [n, C], where `of_probabilities`
                reads them.
        """
        references = [self.head.reference(self.task, label) for label in labels]
        self._datasets.update(dict.fromkeys(datasets or ()))
        self._add_sums(predictions, references, datasets or ())
        self.rows += len(references)
        predictions, references = self.head.comparable(predictions, references)
        self.constants.add(references)
        for module in self.modules:
            module.add_batch(predictions=predictions, references=references)
        if probabilities is not None and len(probabilities[0]):
            for module in self.of_probabilities:
                module.add_batch(predictions=probabilities[0], references=probabilities[1])
        if self.functions:
            self._kept[0].extend(predictions)
            self._kept[1].extend(references)
        self.loss_sum += loss_sum
        self.items += items

    def _add_sums(self, predictions: list[Any], references: list[Any], datasets: Sequence[str]) -> None:
        """Note what each row adds to the main score; a row can be several entries of a metric, or none."""
        if self.statistic is None or not datasets:
            return
        pairs = zip(predictions, references, strict=True)
        rows = [self.head.comparable([predicted], [true]) for predicted, true in pairs]
        entries = [entry for predicted, _ in rows for entry in predicted]
        numbers = self.statistic.rows(entries, [entry for _, true in rows for entry in true])
        ends = np.cumsum([len(true) for _, true in rows])
        for dataset, own in zip(datasets, np.split(numbers, ends[:-1]), strict=True):
            self._row_sums.setdefault(dataset, []).append(own.sum(0))

    def compute(self, details: bool = True) -> dict[str, float]:
        """Return the task's metrics and its ``loss`` (mean an item), and the main one again as ``score``.

        Args:
            details: Whether to name what a metric says of single entity types, too.

        Raises:
            ValueError: If the main metric is not among them, or a function returns something else.
        """
        scores: dict[str, float] = {}
        for module in (*self.modules, *self.of_probabilities):
            result = module.compute() or {}
            if not details:
                summary = getattr(module, "summary_keys", ())
                result = {key: value for key, value in result.items() if not summary or key in summary}
            scores.update(_numbers(self.task.name, result, module.name))
        for function in self.functions:
            name = getattr(function, "__name__", type(function).__name__)
            scores.update(_numbers(self.task.name, function(*self._kept), name))
        loss = self.loss_sum / max(self.items, 1)
        scores.update(self.head.scores_of_loss(loss))
        if self.main not in scores:
            if self.task.main_metric is not None:
                raise UserError(
                    f"Task {self.task.name!r}: main_metric {self.main!r} is not among its metrics: {listed(scores)}."
                )
            self.main = next(iter(scores))
        return {"loss": loss, **scores, "score": scores[self.main]}

    def row_sums(self) -> np.ndarray | None:
        """Return what each row added to the main score, [R, k], datasets one after the other; ``None``: not known."""
        kept = [row for rows in self._row_sums.values() for row in rows]
        return np.stack(kept) if kept else None

    def by_dataset(self, score: float) -> dict[str, ScoredRows]:
        """Return the main score on each dataset, with its interval.

        Where it is no function of sums over rows it is that of all datasets, under their names, without an interval.

        Args:
            score: The main score of all rows.
        """
        if self.statistic is None:
            return {", ".join(self._datasets): ScoredRows(self.main, score, self.rows)}
        scored = {}
        for dataset, kept in self._row_sums.items():
            rows = np.stack(kept)
            value = float(self.statistic.value(rows.sum(0, keepdims=True))[0])
            scored[dataset] = ScoredRows(self.main, value, len(rows), *bootstrap_interval(rows, self.statistic.value))
        return scored


def _check_built_in(task: TaskConfig) -> None:
    """Check that a task's own metrics are built in: a config may be a stranger's, and other metrics run code.

    Raises:
        ValueError: If one is not.
    """
    for metric in task.metrics:
        if metric not in METRICS:
            raise UserError(
                f"Task {task.name!r}: its metric {metric!r} is not built in, and any other runs code that a model's "
                f"config must not choose. If you trust it, name it yourself: metrics={{{task.name!r}: [{metric!r}]}} "
                f"of MultiTaskTrainer, or metrics in the recipe's task.{nearest(metric, METRICS)}"
            )


def _numbers(task: str, result: Any, name: str) -> dict[str, float]:
    values = result if isinstance(result, Mapping) else {name: result}
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            numbers.update({f"{key}_{k}": v for k, v in _numbers(task, value, name).items()})
        elif isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            numbers[str(key)] = float(value)
        elif not isinstance(result, Mapping):
            kind = type(value).__name__
            raise UserError(f"Task {task!r}: metric {name!r} returned {kind}; expected a number or a dict.")
    return numbers


def join_scores(scores: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]) -> dict[str, float]:
    """Return ``<task>_<metric>`` for every task, and ``score`` and ``loss`` over all.

    Args:
        scores: What `TaskScorer.compute` returned, by task.
        weights: The factor of each task's loss.

    Returns:
        ``score`` is the mean of the tasks' main metrics, ``loss`` the weighted sum of their losses.

    Raises:
        ValueError: If two tasks' names and metrics join to the same key.
    """
    joined: dict[str, float] = {}
    for task, values in scores.items():
        for metric, value in values.items():
            key = f"{task}_{metric}"
            if metric == "score":
                continue
            if key in joined:
                raise UserError(f"Two metrics share the key {key!r}. Rename the task {task!r}.")
            joined[key] = value
    joined["loss"] = sum(values["loss"] * weights[task] for task, values in scores.items())
    joined["score"] = sum(values["score"] for values in scores.values()) / len(scores)
    return joined
