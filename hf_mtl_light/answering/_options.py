"""How answers may be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from hf_mtl_light.description import TaskDescription, coverage_key
from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed, nearest

__all__ = ["STRATEGIES", "AnswerOptions", "add_sets", "best_first", "set_threshold", "threshold_of"]

Strategy = Literal["none", "simple", "first", "average", "max"]
#: The aggregation strategies of Transformers' token-classification pipeline.
STRATEGIES: tuple[str, ...] = get_args(Strategy)


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are asked for; each task type reads what concerns it.

    Args:
        top_k: How many labels to name, best first; ``"all"`` names all; ``None`` gives the one answer of a single-label
            task, and of a multi-label task the labels above their thresholds.
        thresholds: From which score on a multi-label task names a label: one number in [0, 1], or one for each label.
            ``None``, and labels left out, are the task's own (0.5 if it has none), or no threshold where ``top_k`` is
            given.
        aggregation_strategy: How tokens become entities, as in Transformers' token-classification pipeline:
            ``"none"``, ``"simple"``, ``"first"``, ``"average"`` or ``"max"``. ``None`` tags each word by its first
            sub-word and joins words as the task's own tag scheme says: how the task was trained and is scored.
        ignore_labels: With a strategy: tags, or entity types, that are left out.
        coverage: Adds to the answer of a single-label task the ``set`` of labels, best first, that holds the truth in
            such a part of rows, above 0 and below 1; one that the task was calibrated for. Not beside ``top_k``.

    Raises:
        ValueError: If a value is out of its range.
    """

    top_k: int | Literal["all"] | None = None
    thresholds: float | Mapping[str, float] | None = None
    aggregation_strategy: str | None = None
    ignore_labels: Sequence[str] = ("O",)
    coverage: float | None = None

    def __post_init__(self) -> None:
        is_count = isinstance(self.top_k, int) and not isinstance(self.top_k, bool) and self.top_k >= 1
        if self.top_k is not None and self.top_k != "all" and not is_count:
            raise UserError(f"top_k must be a whole number of at least 1, or 'all'; found {self.top_k!r}.")
        if self.aggregation_strategy is not None and self.aggregation_strategy not in STRATEGIES:
            raise UserError(
                f"aggregation_strategy must be one of {listed(STRATEGIES)} or None, found "
                f"{self.aggregation_strategy!r}.{nearest(str(self.aggregation_strategy), STRATEGIES)}"
            )
        if isinstance(self.ignore_labels, str):
            raise UserError(f"ignore_labels must be a list of labels, found the string {self.ignore_labels!r}.")
        if self.aggregation_strategy is None and list(self.ignore_labels) != ["O"]:
            raise UserError(
                f"ignore_labels={list(self.ignore_labels)!r} would be without effect: without an aggregation_strategy "
                "words are joined by the task's own tag scheme. Set aggregation_strategy='first', say, or leave it out."
            )
        if self.coverage is not None:
            if isinstance(self.coverage, str):
                raise UserError(f"coverage must be a number above 0 and below 1, found {self.coverage!r}.")
            coverage_key(self.coverage)
            if self.top_k is not None:
                raise UserError("top_k and coverage both choose how many labels are named. Leave one of them out.")
        given = self.thresholds.values() if isinstance(self.thresholds, Mapping) else [self.thresholds]
        for value in given:
            if value is not None and (isinstance(value, (bool, str)) or not 0 <= value <= 1):
                raise UserError(f"A threshold is a number in [0, 1], found {value!r}.")


def threshold_of(task: TaskDescription, options: AnswerOptions) -> list[float]:
    """Return the score from which each label of a multi-label task is named, in the order of its labels.

    Raises:
        ValueError: If a threshold is given for what is no label of the task.
    """
    labels = task.labels
    given = options.thresholds
    own = list(task.thresholds) if options.top_k is None else [0.0] * len(labels)
    if isinstance(given, Mapping):
        for name in given:
            if name not in labels:
                raise UserError(
                    f"Task {task.name!r}: a threshold is given for {name!r}, which is none of its labels."
                    f"{nearest(name, labels)} Labels: {listed(labels)}."
                )
        return [float(given.get(label, default)) for label, default in zip(labels, own, strict=True)]
    return own if given is None else [float(given)] * len(labels)


def set_threshold(task: Any, coverage: float) -> float:
    """Return from which probability on a label belongs to a row's set.

    Args:
        task: The task, as its config or its description.
        coverage: The part of rows whose sets are to hold the truth.

    Raises:
        ValueError: If the task was not calibrated for the coverage.
    """
    found: float | None = task.conformal_thresholds.get(coverage_key(coverage))
    if found is None:
        raise UserError(
            f"Task {task.name!r}: coverage={coverage:g} has no threshold. The task has some for the coverages "
            f"{listed(task.conformal_thresholds) or 'none'}. Find it on held-out rows: hf-mtl calibrate MODEL RECIPE "
            f"-o MODEL --coverage {coverage:g}, or trainer.calibrate(coverage={coverage:g})."
        )
    return found


def add_sets(
    rows: Sequence[dict[str, Any]], task: TaskDescription, probabilities: np.ndarray, options: AnswerOptions
) -> None:
    """Add to each answer the ``set`` that ``coverage`` asks for; a set may be empty.

    Args:
        rows: R answers.
        task: The task.
        probabilities: [R, C].
        options: What is asked for.

    Raises:
        ValueError: If the task was not calibrated for the coverage.
    """
    if options.coverage is None:
        return
    threshold = set_threshold(task, options.coverage)
    for row, scores in zip(rows, probabilities.tolist(), strict=True):
        kept = [number for number, score in enumerate(scores) if score >= threshold]
        row["set"] = best_first([task.labels[i] for i in kept], [scores[i] for i in kept], options)


def best_first(labels: Sequence[str], scores: Sequence[float], options: AnswerOptions) -> list[dict[str, Any]]:
    """Return ``{"label", "score"}`` for as many labels as are asked for, best first, equal ones in their own order."""
    pairs = sorted(zip(labels, scores, strict=True), key=lambda pair: -pair[1])
    count = options.top_k if isinstance(options.top_k, int) else len(pairs)
    return [{"label": label, "score": score} for label, score in pairs[:count]]
