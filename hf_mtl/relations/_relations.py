"""What is known of which tasks help which: gains, their completion, and what follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_mtl.relations._completion import Completion, complete
from hf_mtl.relations._recommend import Recommendation, recommend
from hf_mtl.relations._support import reasons_against

__all__ = ["Relations"]


@dataclass(frozen=True)
class Relations:
    """Which tasks help which, as far as it was measured.

    Args:
        measure: How: ``"pairs"``, ``"subsets"`` or ``"gradients"``.
        score: What gains are of: ``"metric"`` (each task's main one) or ``"loss"``.
        tasks: Names of the tasks, as rows and columns of the tables are ordered.
        alone: [T, S] score of each task alone, for each seed; of losses the negative. By gradients S is 0.
        spread: [T] the spread over seeds that gains are in units of; NaN by gradients, whose unit is the root mean
            square of all gains.
        measured: [T, T] gain of row from column, NaN where it was not measured.
        completion: The table with the gaps filled, and what the filling is worth.
        recommendation: Groups, tasks to leave out and weights; empty where the measurements support no grouping. What
            the table would suggest all the same is ``recommend(completion.table, tasks)``.
        fragment: The recommendation as lines of a recipe.
        reasons: Why no grouping is supported; empty where one is.
    """

    measure: str
    score: str
    tasks: list[str]
    alone: np.ndarray
    spread: np.ndarray
    measured: np.ndarray
    completion: Completion
    recommendation: Recommendation
    fragment: str
    reasons: list[str]

    @classmethod
    def of_gains(
        cls,
        measured: np.ndarray,
        tasks: Sequence[str],
        *,
        measure: str = "pairs",
        score: str = "metric",
        alone: np.ndarray | None = None,
        spread: np.ndarray | None = None,
        features: np.ndarray | None = None,
        datasets: Mapping[str, Sequence[str]] | None = None,
    ) -> Relations:
        """Complete a table of gains and read from it what to do.

        Args:
            measured: [T, T] gain of row from column, NaN where it was not measured.
            tasks: Names of the tasks.
            measure: How the gains were measured.
            score: What they are of.
            alone: [T, S] score of each task alone.
            spread: [T] the unit of the gains.
            features: [T, F] of each task, for tasks without a measurement.
            datasets: For each dataset its tasks.
        """
        completion = complete(measured, features)
        advice = recommend(completion.table, tasks)
        numbers = [[list(tasks).index(task) for task in group] for group in advice.groups]
        seeds = None if alone is None else alone.shape[1]
        reasons = reasons_against(completion, numbers, is_trained=measure != "gradients", seeds=seeds)
        if reasons:
            advice = Recommendation([], [], {})
        return cls(
            measure=measure,
            score=score,
            tasks=list(tasks),
            alone=np.empty((len(tasks), 0)) if alone is None else alone,
            spread=np.full(len(tasks), math.nan) if spread is None else spread,
            measured=measured,
            completion=completion,
            recommendation=advice,
            fragment="" if reasons else advice.fragment(datasets=datasets),
            reasons=reasons,
        )

    @property
    def verdict(self) -> str:
        """What is recommended, in a sentence."""
        if self.reasons:
            return f"No grouping is supported by these measurements: {'; '.join(self.reasons)}."
        return f"Groups that should share: {'; '.join(', '.join(group) for group in self.recommendation.groups)}"

    @property
    def unit(self) -> str:
        """What a gain of 1 is."""
        if self.measure == "gradients":
            return "the root mean square of all gains, to first order"
        return "the spread over seeds of the task alone"

    def to_dict(self) -> dict[str, Any]:
        """Return what ``relations.json`` holds; null where nothing was measured."""
        keys = ("rank", "ridge", "error", "rank_0_error", "mean_error", "is_better_than_mean")
        signs = ("sign_accuracy", "rank_0_sign_accuracy")
        return {
            "measure": self.measure,
            "score": self.score,
            "unit": self.unit,
            "tasks": self.tasks,
            "alone": dict(zip(self.tasks, self.alone.tolist(), strict=True)),
            "spread": {
                task: None if math.isnan(value) else value
                for task, value in zip(self.tasks, self.spread.tolist(), strict=True)
            },
            "measured": _plain(self.measured),
            "completed": _plain(self.completion.table),
            "completion": {
                key: None if math.isnan(value := getattr(self.completion, key)) else value for key in (*keys, *signs)
            },
            "recommendation": self.verdict,
            "reasons": self.reasons,
            "groups": self.recommendation.groups,
            "left_out": self.recommendation.left_out,
            "weights": self.recommendation.weights,
            "fragment": self.fragment,
        }


def _plain(table: np.ndarray) -> list[list[float | None]]:
    return [[None if math.isnan(value) else round(value, 4) for value in row] for row in table.tolist()]
