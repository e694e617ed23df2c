"""One model for all tasks against one model each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from hf_mtl._names import listed
from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import head_class
from hf_mtl.recipe import BuiltRecipe, PreparedRecipe, Recipe
from hf_mtl.trainer import TaskScorer
from hf_mtl.validation._alone import task_alone, task_steps
from hf_mtl.validation._bootstrap import paired_interval, verdict_of
from hf_mtl.validation._earlier import earlier_run
from hf_mtl.validation._runs import Run, chosen_arguments, count_done, finished, mark_of, run_all
from hf_mtl.validation._scores import is_greater_better, scores_of
from hf_mtl.validation._sharing import write_sharing
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole, written_whole

__all__ = ["BUDGETS", "Comparison", "compare"]

#: How many steps a task alone gets: as many as go to its rows in the training of all; or such a part of all steps that
#: the models of one task together train as long as the one of all.
BUDGETS = ("steps", "time")
_ROWS = "rows.npz"


def _keep_rows(place: Path, built: BuiltRecipe) -> None:
    """Write what each scored row adds to the tasks' scores."""
    found = built.trainer.row_sums(built.prepared.test)
    # A task may be called as an argument of numpy's.
    named: dict[str, Any] = {f"rows_{number}": sums for number, sums in enumerate(found.values())}
    with written_whole(place / _ROWS) as stream:
        np.savez_compressed(stream, tasks=np.array(list(found), dtype=str), **named)


@dataclass(frozen=True)
class Comparison:
    """A comparison that is planned: everything was checked, nothing is trained or written.

    Args:
        prepared: The recipe; its test rows are those that are scored, validation rows where a dataset has no others.
        seeds: The seeds.
        together: For each seed the training of all tasks.
        alone: For each task and seed the training of the task alone.
    """

    prepared: PreparedRecipe
    seeds: list[int]
    together: list[Run]
    alone: dict[str, list[Run]]

    @classmethod
    def plan(cls, recipe: Recipe, seeds: int = 3, *, budget: str = "steps") -> Comparison:
        """Load the data and plan all trainings: see `compare`.

        Raises:
            ValueError: At the first mistake; the message names the task.
        """
        if budget not in BUDGETS:
            raise UserError(f"budget must be one of {listed(BUDGETS)}, found {budget!r}.")
        if seeds < 1:
            raise UserError(f"seeds must be at least 1, found {seeds}.")
        if recipe.model is not None:
            raise UserError(
                f"The recipe begins with the trained model {recipe.model!r}, whose encoder learned its tasks together: "
                "none can be trained alone from it. Compare a recipe that begins with an encoder."
            )
        prepared = recipe.prepare()
        prepared.refuse_streams("A comparison")
        if prepared.args.world_size > 1:
            raise UserError(f"A comparison trains in one process a run, and this one is of {prepared.args.world_size}.")
        prepared = replace(prepared, test={**prepared.validation, **prepared.test})
        for task in prepared.tasks:
            if not any(task.name in data.column_names for data in prepared.test.values()):
                raise UserError(f"Task {task.name!r}: no test or validation row. Set test_size of its dataset.")
        numbers = [prepared.args.seed + i for i in range(seeds)]
        together = [_run("together", prepared, {**chosen_arguments(prepared), "seed": seed}) for seed in numbers]
        if len(prepared.tasks) == 1:  # the recipe itself
            return cls(prepared, numbers, together, {prepared.tasks[0].name: together})
        args, steps = prepared.args, task_steps(prepared)
        # Epochs of all rows are epochs of each task's.
        is_by_epochs = args.max_steps <= 0 and args.sampling == "proportional" and not args.sampling_options
        factor = prepared.steps() / max(sum(steps.values()), 1e-9) if budget == "time" else 1.0
        alone = {}
        for task in prepared.tasks:
            wanted = None if is_by_epochs and budget == "steps" else max(1, round(steps[task.name] * factor))
            own, changes = task_alone(prepared, task, wanted)
            name = f"alone-{quote(task.name, safe=' ')}"
            alone[task.name] = [_run(name, own, {**changes, "seed": seed}) for seed in numbers]
        return cls(prepared, numbers, together, alone)

    @property
    def earlier(self) -> Path | None:
        """The recipe's run folder, if it was trained there: its report and card say what sharing did, too."""
        return earlier_run(self.prepared)

    @property
    def runs(self) -> list[Run]:
        """All trainings, each once."""
        runs = [*self.together, *(run for of_task in self.alone.values() for run in of_task)]
        return list({run.name: run for run in runs}.values())

    @property
    def steps(self) -> int:
        """The optimizer steps of all runs."""
        return sum(run.steps for run in self.runs)

    def done(self, folder: str | Path) -> int:
        """Return how many runs of a folder are done."""
        return count_done(self.runs, folder)

    def run(self, folder: str | Path, *, parallel: int = 1, progress: bool = True) -> pd.DataFrame:
        """Train the runs that are missing, and write and return what they say: see `compare`."""
        folder = Path(folder)
        run_all(self.runs, folder, parallel=parallel, progress=progress)
        table = pd.DataFrame([self._row(folder, task) for task in self.prepared.tasks])
        write_text_whole(folder / "comparison.csv", table.to_csv(index=False))
        rows = json.loads(table.to_json(orient="records"))
        names = {task: [run.name for run in runs] for task, runs in self.alone.items()}
        found = {"seeds": self.seeds, "together": [run.name for run in self.together], "alone": names, "tasks": rows}
        write_text_whole(folder / "comparison.json", json.dumps(found, indent=2) + "\n")
        places = [folder / run.name for run in self.together]
        for place in [*places, *([] if self.earlier is None else [self.earlier])]:
            write_sharing(place, rows, len(self.seeds))
        return table

    def _row(self, folder: Path, task: TaskConfig) -> dict[str, Any]:
        sides = {"together": self.together, "alone": self.alone[task.name]}
        head = head_class(task)
        metric = head.main_metric(task)
        scores = {
            side: np.array(
                [scores_of(folder / run.name, run.prepared.tasks).get((task.name, metric), math.nan) for run in runs]
            )
            for side, runs in sides.items()
        }
        differences = scores["together"] - scores["alone"]
        sums = {side: [_rows_of(folder / run.name, task.name) for run in runs] for side, runs in sides.items()}
        known = [found for of_side in sums.values() for found in of_side if found is not None]
        statistic = TaskScorer(task, head, task.metrics or None).statistic
        low = high = math.nan
        if statistic is not None and len(known) == 2 * len(self.seeds):
            low, high = paired_interval(known[: len(self.seeds)], known[len(self.seeds) :], statistic.value)
        facts = {side: [finished(folder, run) or {} for run in runs] for side, runs in sides.items()}
        return {
            "task": task.name,
            "metric": metric,
            "rows": len(known[0]) if known else None,
            "alone": float(scores["alone"].mean()),
            "together": float(scores["together"].mean()),
            "difference": float(differences.mean()),
            "low": low,
            "high": high,
            "std": float(differences.std(ddof=1)) if len(self.seeds) > 1 else math.nan,
            "verdict": verdict_of(differences.tolist(), low, high, is_greater_better(metric)),
            **{
                f"{side}_{what}": value
                for side, runs in sides.items()
                for what, value in (
                    ("steps", runs[0].steps),
                    ("parameters", facts[side][0]["parameters"]),
                    ("seconds", round(float(np.mean([fact["seconds"] for fact in facts[side]])), 3)),
                )
            },
        }


def compare(
    recipe: Recipe | str | Path | Mapping[str, Any],
    output_dir: str | Path,
    *,
    seeds: int = 3,
    budget: str = "steps",
    parallel: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a recipe, and each of its tasks alone, and say for each task what sharing did.

    A task alone has the same encoder, rows, arguments and seeds, its own head, and the whole encoder for itself:
    nothing is balanced, tied or branched. Runs that the folder holds already are used again where recipe and rows are
    the same, whatever they were trained for.

    Args:
        recipe: The recipe, its file or its values.
        output_dir: The folder: a run folder for each training; ``comparison.csv``, what is returned;
            ``comparison.json``, with the names of the run folders by task. The models of one task are teachers for
            distillation. The recipe's own run folder, if it was trained there, gets what sharing did for its report
            and card.
        seeds: How many seeds, from the recipe's on.
        budget: ``"steps"``: a task alone gets the steps that go to its rows in the training of all. ``"time"``: these
            are scaled so that the models of one task have together as many steps as the one of all, and so take about
            its time; the two differ where rows have labels of several tasks.
        parallel: How many runs are trained at once, each in a process.
        progress: Whether to draw a bar where a person watches.

    Returns:
        A row for each task: ``task``, ``metric`` (its main one), ``rows`` that it was scored on (test rows, or
        validation rows where its datasets have no others), mean score over seeds ``alone`` and ``together``, their
        ``difference``, its interval over rows ``low`` and ``high`` (`paired_interval`), its deviation over seeds
        ``std``, the ``verdict`` (`verdict_of`), and ``steps``, ``parameters`` and ``seconds`` of both sides.

    Raises:
        ValueError: If a run cannot be trained or the folder holds something else.
    """
    plan = Comparison.plan(Recipe.of(recipe), seeds, budget=budget)
    return plan.run(output_dir, parallel=parallel, progress=progress)


def _run(name: str, prepared: PreparedRecipe, changes: Mapping[str, Any]) -> Run:
    """Return a training; the name of its folder holds its content, so that runs of other recipes stay beside it."""
    own = replace(prepared, args=prepared.recipe.training_arguments(**changes))
    mark = mark_of(own, changes)
    return Run(f"{name}-{own.args.seed}-{mark[:8]}", own, mark, changes, _keep_rows)


def _rows_of(place: Path, task: str) -> np.ndarray | None:
    with np.load(place / _ROWS) as found:
        names = found["tasks"].tolist()
        return found[f"rows_{names.index(task)}"] if task in names else None
