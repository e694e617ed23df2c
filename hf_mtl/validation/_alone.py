"""A recipe with one or some of its tasks alone, on the same rows and with the same arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from datasets import Dataset

from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig
from hf_mtl.data import LabelledDataset, check_rows
from hf_mtl.heads import head_class
from hf_mtl.recipe import PreparedRecipe, has_labels, narrowed_options

__all__ = ["has_stored_teachers", "labelled_rows", "task_alone", "task_steps", "tasks_alone"]

#: Options of sampling that hold with any strategy, for one dataset alone, too.
_RULES = ("exhausted", "max_rows")


def has_stored_teachers(prepared: PreparedRecipe) -> bool:
    """Return whether rows are taught by a file, which finds them by their numbers in the whole training split."""
    methods: Any = prepared.args.methods or {}
    return any(str(options.get("teachers")).endswith(".parquet") for options in methods.values())


def labelled_rows(data: Dataset, tasks: Sequence[TaskConfig]) -> Dataset:
    """Return the rows that one of the tasks labels."""
    labelled = LabelledDataset("", data, tasks, {task.name: head_class(task) for task in tasks})
    found = sorted({row for task in tasks for row, _ in labelled.labels(task.name)})
    return data if len(found) == len(data) else data.select(found)


def task_steps(prepared: PreparedRecipe) -> dict[str, float]:
    """Return how many steps of a training go to the rows that each task labels.

    The share of a dataset is the mean of its first and its last one.
    """
    steps = dict.fromkeys((task.name for task in prepared.tasks), 0.0)
    total = prepared.steps()
    for item in prepared.summary():
        rows = item["rows"]["train"]
        for task in item["tasks"]:
            labelled = rows - item["unlabelled"].get(task.name, {}).get("train", 0)
            steps[task.name] += total * (item["share"] + item["last_share"]) / 2 * labelled / rows
    return steps


def task_alone(prepared: PreparedRecipe, task: TaskConfig, steps: int | None) -> tuple[PreparedRecipe, dict[str, Any]]:
    """Return a recipe's training with one task.

    Args:
        prepared: The recipe.
        task: One of its tasks.
        steps: The optimizer steps; ``None``: those of as many epochs of its rows.

    Returns:
        The training, and the arguments in which it differs from the recipe's: see `tasks_alone`.
    """
    alone, changes = tasks_alone(prepared, [task])
    if steps is not None and alone.steps() != steps:
        changes["max_steps"] = steps
        alone = dataclasses.replace(alone, args=prepared.recipe.training_arguments(**changes))
    return alone, changes


def tasks_alone(prepared: PreparedRecipe, tasks: Sequence[TaskConfig]) -> tuple[PreparedRecipe, dict[str, Any]]:
    """Return a recipe's training with some tasks: their datasets, rows and columns, their heads and the whole encoder.

    What is there for the sake of other tasks is left out: balancing, weights, ties, branches.

    Args:
        prepared: The recipe.
        tasks: Some of its tasks.

    Returns:
        The training, and the arguments in which it differs from the recipe's.
    """
    own = [dataclasses.replace(task, weight=1.0, tied_to=None, branch=None) for task in tasks]
    names = [task.name for task in own]
    kept = (*INPUT_COLUMNS, *names)
    train, counts = {}, {}
    for name, data in prepared.train.items():
        there = [task for task in own if task.name in data.column_names and has_labels(data, [task.name])]
        if there:
            rows = _columns(data, names)
            train[name] = rows if has_stored_teachers(prepared) else labelled_rows(rows, there)
            heads = {task.name: head_class(task) for task in there}
            counts[name] = check_rows(LabelledDataset(name, train[name], there, heads))
    recipe = prepared.recipe
    sources = {
        name: recipe.datasets[name].model_copy(
            update={
                "columns": {c: n for c, n in recipe.datasets[name].columns.items() if n in kept},
                "constants": {t: label for t, label in recipe.datasets[name].constants.items() if t in names},
            }
        )
        for name in train
    }
    asked = {name: recipe.tasks[name] for name in names if recipe.tasks.get(name)}
    changes = _arguments(prepared, own, train)
    alone = dataclasses.replace(
        prepared,
        recipe=recipe.model_copy(update={"datasets": sources, "tasks": asked, "branches": {}, "only": []}),
        args=recipe.training_arguments(**changes),
        tasks=own,
        sources={name: prepared.sources[name] for name in train},
        train=train,
        validation=_scored(prepared.validation, names),
        test=_scored(prepared.test, names),
        label_counts={name: {"train": found} for name, found in counts.items()},
    )
    return alone, changes


def _columns(data: Dataset, tasks: Sequence[str]) -> Dataset:
    return data.select_columns([name for name in data.column_names if name in (*INPUT_COLUMNS, *tasks)])


def _scored(by_dataset: Mapping[str, Dataset], tasks: Sequence[str]) -> dict[str, Dataset]:
    return {name: _columns(data, tasks) for name, data in by_dataset.items() if has_labels(data, tasks)}


def _arguments(prepared: PreparedRecipe, tasks: Sequence[TaskConfig], train: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return the arguments that name other tasks or datasets, or are there for several."""
    args = prepared.args
    own = {task.name for task in tasks}
    gone = [name for name in prepared.train if name not in train]
    changes: dict[str, Any] = {"balancing": "fixed", "balancing_options": None, "gradient_cosine_steps": None}
    changes["methods"] = _methods(args.methods or {}, own) or None
    changes["augmentation"] = narrowed_options(args.augmentation, gone)
    options = narrowed_options(args.sampling_options or {}, gone)
    if len(train) == 1:
        changes["sampling"], options = "proportional", {key: options[key] for key in _RULES if key in options}
    changes["sampling_options"] = options
    names = {other.name for other in prepared.tasks}
    changes["frozen_heads"] = [name for name in args.frozen_heads or () if name in own] or None
    rates = args.head_learning_rate
    if isinstance(rates, Mapping):
        changes["head_learning_rate"] = {name: rate for name, rate in rates.items() if name in own} or None
    best = (args.metric_for_best_model or "").removeprefix("eval_")
    if any(best.startswith(f"{name}_") for name in names) and not any(best.startswith(f"{name}_") for name in own):
        changes["metric_for_best_model"] = None
    if not any(task.is_multi_label for task in tasks):
        changes["tune_thresholds"] = "none"
    return changes


def _methods(methods: Any, tasks: Collection[str]) -> dict[str, Any]:
    """Return the training methods that some of the tasks take part in, with these alone."""
    kept = {}
    for name, options in methods.items():
        own = dict(options)
        if isinstance(options.get("tasks"), (list, Mapping)):
            own["tasks"] = [task for task in options["tasks"] if task in tasks]
        if isinstance(options.get("teachers"), Mapping):
            own["teachers"] = {task: value for task, value in options["teachers"].items() if task in tasks}
        if all(own[key] for key in ("tasks", "teachers") if own.get(key) != options.get(key)):
            kept[name] = own
    return kept
