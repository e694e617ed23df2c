"""Cross-validation of a recipe: a run for each fold, and what they say together."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from hf_mtl.data import LabelledDataset, check_rows, check_tasks_have_rows
from hf_mtl.heads import head_class
from hf_mtl.recipe import PreparedRecipe, Recipe, has_labels
from hf_mtl.validation._alone import has_stored_teachers
from hf_mtl.validation._folds import Splitter, make_folds
from hf_mtl.validation._oof import HeldOut, join_oof
from hf_mtl.validation._runs import Run, chosen_arguments, count_done, mark_of, run_all
from hf_mtl.validation._scores import scores_of
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import write_text_whole, written_whole

__all__ = ["CrossValidation", "cross_validate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidation:
    """A cross-validation that is planned: every row and argument was checked, nothing is trained or written.

    Args:
        prepared: The recipe.
        folds: For each dataset the fold of each training row.
        runs: A training for each fold.
    """

    prepared: PreparedRecipe
    folds: dict[str, np.ndarray]
    runs: list[Run]

    @classmethod
    def plan(cls, recipe: Recipe, folds: int | Splitter = 5, *, group_by: str | None = None) -> CrossValidation:
        """Load the data, cut folds and check that each can be trained.

        Args:
            recipe: The recipe.
            folds: See `make_folds`.
            group_by: See `make_folds`; the name that the column has in the source.

        Raises:
            ValueError: At the first mistake; the message names dataset, task or fold.
        """
        prepared = recipe.prepare(keep=group_by)
        prepared.refuse_streams("Cross-validation")
        if has_stored_teachers(prepared):
            raise UserError(
                "methods: stored answers are found by the rows' numbers in the whole training split, which folds cut. "
                "Name the teachers' models in place of their file, or leave distillation out."
            )
        if recipe.model is not None:
            logger.warning(
                "The recipe begins with the trained model %r. Rows that it learned from are not new to any fold: the "
                "scores then flatter.",
                recipe.model,
            )
        args = prepared.args
        if args.world_size > 1:
            raise UserError(f"Cross-validation trains in one process a fold, and this one is of {args.world_size}.")
        # The recipe may have given the column another name.
        columns = {name: source.columns.get(group_by or "", group_by) for name, source in recipe.datasets.items()}
        groups = None if group_by is None else {name: str(column) for name, column in columns.items()}
        found = make_folds(prepared.train, prepared.tasks, folds, group_by=groups, seed=args.seed)
        count = 1 + max(int(own.max()) for own in found.values())
        return cls(prepared, found, [_fold(prepared, found, number) for number in range(count)])

    @property
    def steps(self) -> int:
        """The optimizer steps of all runs."""
        return sum(run.steps for run in self.runs)

    def done(self, folder: str | Path) -> int:
        """Return how many runs of a folder are done."""
        return count_done(self.runs, folder)

    def run(self, folder: str | Path, *, parallel: int = 1, progress: bool = True) -> pd.DataFrame:
        """Train the folds that are missing, and write and return what they say together: see `cross_validate`."""
        folder = Path(folder)
        run_all(self.runs, folder, parallel=parallel, progress=progress)
        self.prepared.write(folder)
        places = [folder / run.name for run in self.runs]
        join_oof(
            [place / "oof.parquet" for place in places],
            folder / "oof.parquet",
            self.prepared.train,
            self.prepared.tasks,
        )
        _write_folds(folder / "folds.parquet", self.folds)
        table = _summary([scores_of(place, self.prepared.tasks) for place in places], self.prepared.main_metrics())
        write_text_whole(folder / "scores.csv", table.to_csv(index=False))
        return table


def cross_validate(
    recipe: Recipe | str | Path | Mapping[str, Any],
    output_dir: str | Path,
    *,
    folds: int | Splitter = 5,
    group_by: str | None = None,
    parallel: int = 1,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a recipe once for each fold of its training rows, and score each model on the fold that it did not see.

    Rows that the recipe holds out for validation stay so in each fold: best checkpoints, early stopping and thresholds
    are chosen by them, never by the rows that are scored. Called again with the same recipe and rows, it continues with
    the folds that are missing.

    Args:
        recipe: The recipe, its file or its values.
        output_dir: The folder: a run folder ``fold-0``, ... for each fold; ``oof.parquet``, each row's probabilities by
            the model that did not train on it (see `hf_mtl.data.predictions`); ``folds.parquet``, which row was scored
            in which fold; ``scores.csv``, what is returned; ``recipe.yaml``.
        folds: The number of folds, or a splitter of scikit-learn's: see `make_folds`.
        group_by: A column whose equal values stay in one fold.
        parallel: How many folds are trained at once, each in a process.
        progress: Whether to draw a bar where a person watches.

    Returns:
        A row for each task and metric, the main metric first, and last the mean of the main metrics (without a task):
        ``task``, ``metric``, ``is_main``, ``mean``, ``std`` over folds, the 95 % interval of the mean ``low`` and
        ``high``, and ``fold_0``, .... Folds share training rows, so their deviation alone is too small for the score
        of another training: the interval is that of the corrected resampled t-test,
        mean ± t * std * sqrt(1 / k + 1 / (k - 1)).

    Raises:
        ValueError: If a fold cannot be trained, or the folder holds something else.

    Source: C. Nadeau, Y. Bengio, Inference for the Generalization Error, Machine Learning 52, 2003, section 3.
    """
    plan = CrossValidation.plan(Recipe.of(recipe), folds, group_by=group_by)
    return plan.run(output_dir, parallel=parallel, progress=progress)


def _fold(prepared: PreparedRecipe, folds: Mapping[str, np.ndarray], number: int) -> Run:
    """Return the training that leaves a fold out."""
    kept = {name: data.select(np.flatnonzero(folds[name] != number)) for name, data in prepared.train.items()}
    numbers = {name: np.flatnonzero(own == number) for name, own in folds.items()}
    held = {name: prepared.train[name].select(numbers[name]) for name in kept if len(numbers[name])}
    tasks, names = prepared.tasks, [task.name for task in prepared.tasks]
    heads = {task.name: head_class(task) for task in tasks}
    counts = {name: check_rows(LabelledDataset(name, data, tasks, heads)) for name, data in kept.items()}
    try:
        check_tasks_have_rows(tasks, counts, {}, names)
    except UserError as error:
        raise UserError(f"Fold {number}: {error} Or ask for fewer folds.") from error
    own = replace(
        prepared,
        train=kept,
        test={name: data for name, data in held.items() if has_labels(data, names)},
        label_counts={name: {**prepared.label_counts[name], "train": found} for name, found in counts.items()},
    )
    after = HeldOut(number, held, {name: numbers[name] for name in held}, tasks, prepared.args.max_length)
    return Run(f"fold-{number}", own, mark_of(own), chosen_arguments(prepared), after)


def _write_folds(path: Path, folds: Mapping[str, np.ndarray]) -> None:
    """Write which fold each training row was scored in."""
    columns = {
        "dataset": [name for name, own in folds.items() for _ in own],
        "row": np.concatenate([np.arange(len(own)) for own in folds.values()]),
        "fold": np.concatenate(list(folds.values())),
    }
    with written_whole(path) as stream:
        pq.write_table(pa.table(columns), stream)


def _summary(scores: list[dict[tuple[str, str], float]], main: Mapping[str, str]) -> pd.DataFrame:
    """Return the table of `cross_validate` from each fold's scores by task and metric."""
    keys = list(dict.fromkeys(key for found in scores for key in found))
    tasks = [*main, ""]
    keys.sort(key=lambda key: (tasks.index(key[0]), main.get(key[0]) != key[1]))
    rows = []
    for task, metric in keys:
        values = np.array([found.get((task, metric), math.nan) for found in scores])
        known = values[~np.isnan(values)]
        count = len(known)
        mean = float(known.mean())
        std = float(known.std(ddof=1)) if count > 1 else math.nan
        half = (
            float(stats.t.ppf(0.975, count - 1)) * std * math.sqrt(1 / count + 1 / (count - 1))
            if count > 1
            else math.nan
        )
        rows.append(
            {
                "task": task,
                "metric": metric,
                "is_main": main.get(task, "score") == metric,
                "mean": mean,
                "std": std,
                "low": mean - half,
                "high": mean + half,
                **{f"fold_{number}": value for number, value in enumerate(values.tolist())},
            }
        )
    return pd.DataFrame(rows)
