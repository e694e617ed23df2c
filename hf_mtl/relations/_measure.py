"""Measured gains: short runs of some tasks together against runs of each alone, or one run's gradients."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.recipe import BuiltRecipe, PreparedRecipe, Recipe
from hf_mtl.relations._features import task_features
from hf_mtl.relations._gradients import gradient_gains
from hf_mtl.relations._relations import Relations
from hf_mtl.relations._subsets import choose_pairs, choose_subsets, least_sets, pair_gains, subset_gains
from hf_mtl.relations._support import steady_spread
from hf_mtl.report import read_run
from hf_mtl.validation import Run, count_done, earlier_run, is_greater_better, mark_of, run_all, scores_of, tasks_alone
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole

__all__ = ["MEASURES", "SCORES", "RelationsPlan", "relate"]

#: How gains are measured, and how many tasks that needs at least.
MEASURES = {"pairs": 3, "subsets": 4, "gradients": 3}
#: What gains are of.
SCORES = ("metric", "loss")
#: The least spread of a task over seeds, in parts of its score: few test rows often score the same twice.
_LEAST_SPREAD = 1e-3
_CHOOSE = {"pairs": choose_pairs, "subsets": choose_subsets}
_GAINS = {"pairs": pair_gains, "subsets": subset_gains}


@dataclass(frozen=True)
class RelationsPlan:
    """Runs that measure which tasks help which, planned: everything was checked, nothing is trained or written.

    Args:
        prepared: The recipe; its test rows are those that are scored, validation rows where a dataset has no others.
        measure: How gains are measured.
        score: What they are of.
        alone: For each task a run for each seed; none by gradients.
        together: For each run of several tasks their numbers and the run.
        earlier: The folder of an earlier run whose gradients are read, in place of runs.
    """

    prepared: PreparedRecipe
    measure: str
    score: str
    alone: dict[str, list[Run]]
    together: list[tuple[tuple[int, ...], Run]]
    earlier: Path | None = None

    @classmethod
    def plan(
        cls,
        recipe: Recipe,
        *,
        measure: str = "pairs",
        score: str | None = None,
        budget: int | None = None,
        steps: int = 100,
        seeds: int | None = None,
        earlier: str | Path | None = None,
    ) -> RelationsPlan:
        """Load the data and plan all runs: see `relate`.

        Raises:
            ValueError: At the first mistake; the message names the task or the option.
        """
        if measure not in MEASURES:
            raise UserError(f"measure must be one of {listed(MEASURES)}, found {measure!r}.")
        if score not in (None, *SCORES):
            raise UserError(f"score must be one of {listed(SCORES)}, found {score!r}.")
        by_gradients = measure == "gradients"
        if by_gradients and (score == "metric" or budget is not None):
            raise UserError(
                "Gradients say what a step does to losses, in a run for each seed: leave out score, budget."
            )
        if earlier is not None and not by_gradients:
            raise UserError(f"earlier (--run) needs measure: gradients, found {measure!r}.")
        least = 1 if by_gradients else 2
        seeds = least if seeds is None else seeds
        if seeds < least:
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
        if len(tasks) < MEASURES[measure]:
            hint = "Use measure: pairs." if len(tasks) > 2 else "Of two, hf-mtl compare says more."
            raise UserError(f"The recipe has {len(tasks)} tasks, expected {MEASURES[measure]} or more. {hint}")
        prepared = replace(prepared, test={**prepared.validation, **prepared.test}, validation={})
        numbers = range(prepared.args.seed, prepared.args.seed + seeds)
        if by_gradients:
            together = [] if earlier else [(tuple(range(len(tasks))), _compared(prepared, steps, n)) for n in numbers]
            return cls(prepared, measure, "loss", {}, together, None if earlier is None else Path(earlier))
        for task in tasks:
            if not any(task.name in data.column_names for data in prepared.test.values()):
                raise UserError(f"Task {task.name!r}: no test or validation row. Set test_size of its dataset.")
        fewest = seeds * len(tasks) + least_sets(measure, len(tasks))
        if budget is not None and budget < fewest:
            raise UserError(
                f"budget must be at least {fewest} runs, each task alone and in one of the {measure}, found {budget}."
            )
        wanted = None if budget is None else budget - seeds * len(tasks)
        chosen = _CHOOSE[measure](len(tasks), wanted, numbers[0])
        alone = {task.name: [_run(prepared, [task], steps, seed) for seed in numbers] for task in tasks}
        return cls(
            prepared,
            measure,
            score or "metric",
            alone,
            [(members, _run(prepared, [tasks[i] for i in members], steps, numbers[0])) for members in chosen],
        )

    @property
    def runs(self) -> list[Run]:
        """All trainings."""
        return [*(run for runs in self.alone.values() for run in runs), *(run for _, run in self.together)]

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
        tasks = [task.name for task in self.prepared.tasks]
        alone = spread = None
        if self.measure == "gradients":
            places = [folder / run.name for _, run in self.together] if self.earlier is None else [self.earlier]
            measured = np.mean([gradient_gains(read_run(place), tasks) for place in places], axis=0)
        else:
            alone = self._scores_alone(folder)
            spread = _spread(alone)
            gains = {
                members: {i: (self._score(folder, run, tasks[i]) - alone[i].mean()) / spread[i] for i in members}
                for members, run in self.together
            }
            measured = _GAINS[self.measure](len(tasks), gains)
        known = ~np.isnan(np.where(np.eye(len(tasks), dtype=bool), math.nan, measured))
        has_all = bool((known.any(0) & known.any(1)).all())
        found = Relations.of_gains(
            measured,
            tasks,
            measure=self.measure,
            score=self.score,
            alone=alone,
            spread=spread,
            features=None if has_all else task_features(self.prepared),
            datasets={
                name: [task for task in tasks if task in data.column_names]
                for name, data in self.prepared.train.items()
            },
        )
        of_recipe = earlier_run(self.prepared)
        for place in [folder, *([] if of_recipe is None else [of_recipe])]:
            write_text_whole(place / "relations.json", json.dumps(found.to_dict(), indent=2) + "\n")
        return found

    def _scores_alone(self, folder: Path) -> np.ndarray:
        """Return the scores of each task alone, [T, S]."""
        found = np.array([[self._score(folder, run, name) for run in runs] for name, runs in self.alone.items()])
        for name, scores in zip(self.alone, found, strict=True):
            if not np.isfinite(scores).all():
                raise UserError(
                    f"Task {name!r}: its {self._metric(name)} alone is not a number. Set test_size of its dataset to "
                    "more rows, or train more steps."
                )
        return found

    def _metric(self, task: str) -> str:
        return "loss" if self.score == "loss" else self.prepared.main_metrics()[task]

    def _score(self, folder: Path, run: Run, task: str) -> float:
        """Return a task's score in a run, greater is better."""
        metric = self._metric(task)
        value = scores_of(folder / run.name, run.prepared.tasks).get((task, metric), math.nan)
        return value if metric != "loss" and is_greater_better(metric) else -value


def relate(
    recipe: Recipe | str | Path | Mapping[str, Any],
    output_dir: str | Path,
    *,
    measure: str = "pairs",
    score: str | None = None,
    budget: int | None = None,
    steps: int = 100,
    seeds: int | None = None,
    earlier: str | Path | None = None,
    parallel: int = 1,
    progress: bool = True,
) -> Relations:
    r"""Measure which tasks help which by short runs, complete the table, and recommend groups.

    .. math:: G_{ij} = (s_{ij} - \bar s_i) / \sigma_i

    where s_ij is the score of task i trained with j, and the mean and the spread are those of task i alone over seeds.

    Args:
        recipe: The recipe, its file or its values: three tasks or more, each with test or validation rows.
        output_dir: The folder: a run folder for each training, without weights; ``relations.json``, which the
            recipe's own run folder gets, too, if it was trained there.
        measure: ``"pairs"``: random pairs of tasks, each task in one or more of them. ``"subsets"``: random sets of 3
            to 5 tasks, read by ridge regression (`subset_gains`). ``"gradients"``: a run of all tasks together, read
            from the gradients of its steps (`gradient_gains`), without a run of any task alone.
        score: ``"metric"``, each task's main one, or ``"loss"``, which short runs move sooner; by gradients the loss.
        budget: The number of all runs; ``None``: those of each task alone and of half of the pairs, or of twice as
            many subsets as tasks.
        steps: Optimizer steps for each dataset of a run, so that a task learns from as many rows together as alone.
        seeds: How many runs each task has alone, from the recipe's seed on, 2 by default; pairs and subsets have the
            first. By gradients how many runs of all tasks, 1 by default.
        earlier: A run folder of these tasks whose log holds their gradients (``gradient_cosine_steps``): it is read,
            and nothing is trained.
        parallel: How many runs are trained at once, each in a process.
        progress: Whether to draw a bar where a person watches.

    Raises:
        ValueError: If a run cannot be trained, the budget is too small or the folder holds something else.
    """
    plan = RelationsPlan.plan(
        Recipe.of(recipe), measure=measure, score=score, budget=budget, steps=steps, seeds=seeds, earlier=earlier
    )
    return plan.run(output_dir, parallel=parallel, progress=progress)


def _spread(alone: np.ndarray) -> np.ndarray:
    """Return the spread of each task over seeds [T], from scores [T, S].

    Few seeds say little of one task: half of its variance is that of the typical task, in parts of their scores.
    """
    scale = np.maximum(np.abs(alone.mean(axis=1)), 0.01)
    variance = (alone / scale[:, None]).var(axis=1, ddof=1)
    found: np.ndarray = scale * np.maximum(steady_spread(variance), _LEAST_SPREAD)
    return found


def _compared(prepared: PreparedRecipe, steps: int, seed: int) -> Run:
    """Return the short training of all tasks that compares their gradients in each step."""
    changes = {"gradient_cosine_steps": 1, "logging_strategy": "steps", "logging_steps": len(prepared.train)}
    return _run(replace(prepared, test={}), prepared.tasks, steps, seed, changes)


def _run(
    prepared: PreparedRecipe,
    tasks: Sequence[TaskConfig],
    steps: int,
    seed: int,
    more: Mapping[str, Any] | None = None,
) -> Run:
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
    changes |= more or {}
    own = replace(own, args=prepared.recipe.training_arguments(**changes))
    mark = mark_of(own, changes)
    name = "gradients" if more else "+".join(quote(task.name, safe=" ") for task in tasks)
    return Run(f"{name}-{seed}-{mark[:8]}", own, mark, changes, _drop_weights)


def _drop_weights(place: Path, built: BuiltRecipe) -> None:
    """Delete the weights of a short run: its scores are what it was trained for."""
    for pattern in ("*.safetensors", "*.safetensors.index.json"):
        for file in place.glob(pattern):
            file.unlink()
