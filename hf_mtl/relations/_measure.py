"""Measured gains: short runs of pairs of tasks against runs of each task alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.recipe import BuiltRecipe, PreparedRecipe, Recipe
from hf_mtl.relations._completion import Completion, complete
from hf_mtl.relations._recommend import Recommendation, recommend
from hf_mtl.validation import Run, count_done, is_greater_better, mark_of, run_all, scores_of, tasks_alone
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["MEASURES", "Relations", "RelationsPlan", "relate"]

#: How gains are measured.
MEASURES = ("pairs",)
#: The least spread of a task over seeds, in parts of its score: few test rows often score the same twice.
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True)
class Relations:
    """Which tasks help which, as far as it was measured.

    Args:
        tasks: Names of the tasks, as rows and columns of the tables are ordered.
        alone: [T, S] main metric of each task alone, for each seed; of losses the negative.
        spread: [T] the spread over seeds that gains are in units of.
        measured: [T, T] gain of row from column, NaN where it was not measured.
        completion: The table with the gaps filled, and what the filling is worth.
        recommendation: Groups, tasks to leave out and weights.
        fragment: The recommendation as lines of a recipe.
    """

    tasks: list[str]
    alone: np.ndarray
    spread: np.ndarray
    measured: np.ndarray
    completion: Completion
    recommendation: Recommendation
    fragment: str

    def to_dict(self) -> dict[str, Any]:
        """Return what ``relations.json`` holds; null where nothing was measured."""
        keys = ("rank", "ridge", "error", "rank_0_error", "sign_accuracy", "rank_0_sign_accuracy", "spread")
        return {
            "tasks": self.tasks,
            "alone": dict(zip(self.tasks, self.alone.tolist(), strict=True)),
            "spread": dict(zip(self.tasks, self.spread.tolist(), strict=True)),
            "measured": _plain(self.measured),
            "completed": _plain(self.completion.table),
            "completion": {key: None if math.isnan(value := getattr(self.completion, key)) else value for key in keys},
            "groups": self.recommendation.groups,
            "left_out": self.recommendation.left_out,
            "weights": self.recommendation.weights,
            "fragment": self.fragment,
        }


@dataclass(frozen=True)
class RelationsPlan:
    """Runs that measure which tasks help which, planned: everything was checked, nothing is trained or written.

    Args:
        metrics: For each task the metric that it is scored by.
        alone: For each task a run for each seed.
        pairs: For each measured pair, by the numbers of its tasks, its run.
        datasets: For each dataset its tasks.
    """

    metrics: Mapping[str, str]
    alone: dict[str, list[Run]]
    pairs: dict[tuple[int, int], Run]
    datasets: Mapping[str, Sequence[str]]

    @classmethod
    def plan(
        cls, recipe: Recipe, *, measure: str = "pairs", budget: int | None = None, steps: int = 100, seeds: int = 2
    ) -> RelationsPlan:
        """Load the data and plan all runs: see `relate`.

        Raises:
            ValueError: At the first mistake; the message names the task or the option.
        """
        if measure not in MEASURES:
            raise UserError(f"measure must be one of {listed(MEASURES)}, found {measure!r}.")
        if seeds < 2:
            raise UserError(f"seeds must be at least 2, found {seeds}: gains are in units of the spread over seeds.")
        if steps < 1:
            raise UserError(f"steps must be at least 1, found {steps}.")
        if recipe.model is not None:
            raise UserError(
                f"The recipe begins with the trained model {recipe.model!r}, whose encoder learned its tasks together. "
                "Relate the tasks of a recipe that begins with an encoder."
            )
        prepared = recipe.prepare()
        prepared.refuse_streams("Relating tasks")
        if prepared.args.world_size > 1:
            raise UserError(f"Runs are trained in one process each, and this one is of {prepared.args.world_size}.")
        tasks = prepared.tasks
        if len(tasks) < 3:
            raise UserError(f"The recipe has {len(tasks)} tasks, expected 3 or more. Of two, hf-mtl compare says more.")
        prepared = replace(prepared, test={**prepared.validation, **prepared.test}, validation={})
        for task in tasks:
            if not any(task.name in data.column_names for data in prepared.test.values()):
                raise UserError(f"Task {task.name!r}: no test or validation row. Set test_size of its dataset.")
        first = prepared.args.seed
        chosen = _chosen_pairs(len(tasks), None if budget is None else budget - seeds * len(tasks), budget, first)
        alone = {
            task.name: [_run(prepared, [task], steps, seed) for seed in range(first, first + seeds)] for task in tasks
        }
        pairs = {pair: _run(prepared, [tasks[number] for number in pair], steps, first) for pair in chosen}
        names = [task.name for task in tasks]
        datasets = {name: [t for t in names if t in data.column_names] for name, data in prepared.train.items()}
        return cls(prepared.main_metrics(), alone, pairs, datasets)

    @property
    def runs(self) -> list[Run]:
        """All trainings."""
        return [*(run for runs in self.alone.values() for run in runs), *self.pairs.values()]

    @property
    def steps(self) -> int:
        """The optimizer steps of all runs."""
        return sum(run.steps for run in self.runs)

    def done(self, folder: str | Path) -> int:
        """Return how many runs of a folder are done."""
        return count_done(self.runs, folder)

    def run(self, folder: str | Path, *, parallel: int = 1, progress: bool = True) -> Relations:
        """Train the runs that are missing, and write and return what they say: see `relate`."""
        folder = Path(folder)
        run_all(self.runs, folder, parallel=parallel, progress=progress)
        tasks = list(self.alone)
        alone = np.array([[self._score(folder, run, name) for run in runs] for name, runs in self.alone.items()])
        for name, scores in zip(tasks, alone, strict=True):
            if not np.isfinite(scores).all():
                raise UserError(
                    f"Task {name!r}: its {self.metrics[name]} alone is not a number. Set test_size of its dataset to "
                    "more rows, or train more steps."
                )
        spread = _spread(alone)
        measured = np.full((len(tasks), len(tasks)), math.nan)
        for pair, run in self.pairs.items():
            for i, j in (pair, pair[::-1]):
                measured[i, j] = (self._score(folder, run, tasks[i]) - alone[i].mean()) / spread[i]
        completion = complete(measured)
        advice = recommend(completion.table, tasks)
        fragment = advice.fragment(datasets=self.datasets)
        found = Relations(tasks, alone, spread, measured, completion, advice, fragment)
        write_text_whole(folder / "relations.json", json.dumps(found.to_dict(), indent=2) + "\n")
        return found

    def _score(self, folder: Path, run: Run, task: str) -> float:
        """Return a task's main metric in a run, greater is better."""
        metric = self.metrics[task]
        value = scores_of(folder / run.name, run.prepared.tasks).get((task, metric), math.nan)
        return value if is_greater_better(metric) else -value


def relate(
    recipe: Recipe | str | Path | Mapping[str, Any],
    output_dir: str | Path,
    *,
    measure: str = "pairs",
    budget: int | None = None,
    steps: int = 100,
    seeds: int = 2,
    parallel: int = 1,
    progress: bool = True,
) -> Relations:
    r"""Measure which tasks help which by short runs of some pairs, complete the table, and recommend groups.

    .. math:: G_{ij} = (s_{ij} - \bar s_i) / \sigma_i

    where s_ij is the score of task i trained with j, and the mean and the spread are those of task i alone over seeds.

    Args:
        recipe: The recipe, its file or its values: three tasks or more, each with test or validation rows.
        output_dir: The folder: a run folder for each training, without weights; ``relations.json``.
        measure: ``"pairs"``: random pairs of tasks, each task in one or more of them.
        budget: The number of all runs; ``None``: those of each task alone and of half of the pairs.
        steps: Optimizer steps for each dataset of a run, so that a task learns from as many rows in a pair as alone.
        seeds: How many runs each task has alone, from the recipe's seed on; pairs have the first.
        parallel: How many runs are trained at once, each in a process.
        progress: Whether to draw a bar where a person watches.

    Raises:
        ValueError: If a run cannot be trained, the budget is too small or the folder holds something else.
    """
    plan = RelationsPlan.plan(Recipe.of(recipe), measure=measure, budget=budget, steps=steps, seeds=seeds)
    return plan.run(output_dir, parallel=parallel, progress=progress)


def _chosen_pairs(size: int, wanted: int | None, budget: int | None, seed: int) -> list[tuple[int, int]]:
    """Return random pairs, each task in one at least; by default half of all."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(size).tolist()
    covering = [(order[i], order[(i + 1) % size]) for i in range(0, size, 2)]
    covering = [(min(pair), max(pair)) for pair in covering]
    all_pairs = list(combinations(range(size), 2))
    others = [all_pairs[k] for k in generator.permutation(len(all_pairs)) if all_pairs[k] not in covering]
    count = math.ceil(len(all_pairs) / 2) if wanted is None else wanted
    if wanted is not None and wanted < len(covering):
        least = (budget or 0) - wanted + len(covering)
        raise UserError(f"budget must be at least {least} runs, with each task alone and in one pair, found {budget}.")
    return sorted([*covering, *others][: max(count, len(covering))])


def _spread(alone: np.ndarray) -> np.ndarray:
    """Return the spread of each task over seeds [T], from scores [T, S].

    Few seeds say little of one task: half of its variance is that of the typical task, in parts of their scores.
    """
    scale = np.maximum(np.abs(alone.mean(axis=1)), 0.01)
    variance = (alone / scale[:, None]).var(axis=1, ddof=1)
    found: np.ndarray = scale * np.maximum(np.sqrt((variance + np.median(variance)) / 2), _LEAST_SPREAD)
    return found


def _run(prepared: PreparedRecipe, tasks: Sequence[TaskConfig], steps: int, seed: int) -> Run:
    """Return the short training of some tasks; each dataset gets as many steps whatever the others are."""
    own, changes = tasks_alone(prepared, tasks)
    total = steps * len(own.train)
    changes |= {
        "max_steps": total,
        "seed": seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "metric_for_best_model": None,
        "calibrate": False,
        "tune_thresholds": "none",
    }
    if len(own.train) > 1:
        changes |= {"sampling": "uniform", "sampling_options": {}}
    if prepared.args.warmup_steps >= 1:  # as long a part of the training as the recipe's
        changes["warmup_steps"] = round(prepared.args.warmup_steps * total / prepared.steps())
    own = replace(own, args=prepared.recipe.training_arguments(**changes))
    mark = mark_of(own, changes)
    name = "+".join(quote(task.name, safe=" ") for task in tasks)
    return Run(f"{name}-{seed}-{mark[:8]}", own, mark, changes, _drop_weights)


def _drop_weights(place: Path, built: BuiltRecipe) -> None:
    """Delete the weights of a short run: its scores are what it was trained for."""
    for pattern in ("*.safetensors", "*.safetensors.index.json"):
        for file in place.glob(pattern):
            file.unlink()


def _plain(table: np.ndarray) -> list[list[float | None]]:
    return [[None if math.isnan(value) else round(value, 4) for value in row] for row in table.tolist()]
