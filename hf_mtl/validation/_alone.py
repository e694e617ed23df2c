"""A recipe with one of its tasks alone, on the same rows and with the same arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from hf_mtl.configuration import INPUT_COLUMNS, TaskConfig
from hf_mtl.data import LabelledDataset, check_rows
from hf_mtl.heads import head_class
from hf_mtl.recipe import PreparedRecipe, has_labels, narrowed_options

__all__ = ["has_stored_teachers", "labelled_rows", "task_alone", "task_steps"]

#: Options of sampling that hold with any strategy, for one dataset alone, too.
_RULES = ("exhausted", "max_rows")


def has_stored_teachers(prepared: PreparedRecipe) -> bool:
    """Return whether rows are taught by a file, which finds them by their numbers in the whole training split."""
    methods: Any = prepared.args.methods or {}
    return any(str(options.get("teachers")).endswith(".parquet") for options in methods.values())


def labelled_rows(data: Dataset, task: TaskConfig) -> Dataset:
    """Return the rows that a task labels."""
    labelled = LabelledDataset("", data, [task], {task.name: head_class(task)})
    found = [row for row, _ in labelled.labels(task.name)]
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
    """Return a recipe's training with one task: its datasets, rows and columns, its head and the whole encoder.

    What is there for the sake of other tasks is left out: balancing, weights, ties, branches.

    Args:
        prepared: The recipe.
        task: One of its tasks.
        steps: The optimizer steps; ``None``: those of as many epochs of its rows.

    Returns:
        The training, and the arguments in which it differs from the recipe's.
    """
    own = dataclasses.replace(task, weight=1.0, tied_to=None, branch=None)
    train = {
        name: _columns(data, own) if has_stored_teachers(prepared) else labelled_rows(_columns(data, own), own)
        for name, data in prepared.train.items()
        if task.name in data.column_names and has_labels(data, [task.name])
    }
    heads = {own.name: head_class(own)}
    counts = {name: check_rows(LabelledDataset(name, data, [own], heads)) for name, data in train.items()}
    recipe = prepared.recipe
    sources = {
        name: recipe.datasets[name].model_copy(
            update={
                "columns": {c: n for c, n in recipe.datasets[name].columns.items() if n in (*INPUT_COLUMNS, own.name)},
                "constants": {t: label for t, label in recipe.datasets[name].constants.items() if t == own.name},
            }
        )
        for name in train
    }
    asked = {own.name: recipe.tasks.get(own.name)} if recipe.tasks.get(own.name) else {}
    changes = _arguments(prepared, own, train)
    alone = dataclasses.replace(
        prepared,
        recipe=recipe.model_copy(update={"datasets": sources, "tasks": asked, "branches": {}, "only": []}),
        args=recipe.training_arguments(**changes),
        tasks=[own],
        sources={name: prepared.sources[name] for name in train},
        train=train,
        validation=_scored(prepared.validation, own),
        test=_scored(prepared.test, own),
        label_counts={name: {"train": found} for name, found in counts.items()},
    )
    if steps is not None and alone.steps() != steps:
        changes["max_steps"] = steps
        alone = dataclasses.replace(alone, args=recipe.training_arguments(**changes))
    return alone, changes


def _columns(data: Dataset, task: TaskConfig) -> Dataset:
    return data.select_columns([name for name in data.column_names if name in (*INPUT_COLUMNS, task.name)])


def _scored(by_dataset: Mapping[str, Dataset], task: TaskConfig) -> dict[str, Dataset]:
    return {name: _columns(data, task) for name, data in by_dataset.items() if has_labels(data, [task.name])}


def _arguments(prepared: PreparedRecipe, task: TaskConfig, train: Mapping[str, Dataset]) -> dict[str, Any]:
    """Return the arguments that name other tasks or datasets, or are there for several."""
    args = prepared.args
    gone = [name for name in prepared.train if name not in train]
    changes: dict[str, Any] = {"balancing": "fixed", "balancing_options": None, "gradient_cosine_steps": None}
    changes["methods"] = _methods(args.methods or {}, task.name) or None
    changes["augmentation"] = narrowed_options(args.augmentation, gone)
    options = narrowed_options(args.sampling_options or {}, gone)
    if len(train) == 1:
        changes["sampling"], options = "proportional", {key: options[key] for key in _RULES if key in options}
    changes["sampling_options"] = options
    names = {other.name for other in prepared.tasks}
    changes["frozen_heads"] = [name for name in args.frozen_heads or () if name == task.name] or None
    rates = args.head_learning_rate
    if isinstance(rates, Mapping):
        changes["head_learning_rate"] = {name: rate for name, rate in rates.items() if name == task.name} or None
    best = (args.metric_for_best_model or "").removeprefix("eval_")
    if any(best.startswith(f"{name}_") for name in names) and not best.startswith(f"{task.name}_"):
        changes["metric_for_best_model"] = None
    if not task.is_multi_label:
        changes["tune_thresholds"] = "none"
    return changes


def _methods(methods: Any, task: str) -> dict[str, Any]:
    """Return the training methods that a task takes part in."""
    kept = {}
    for name, options in methods.items():
        named = {key: options[key] for key in ("tasks", "teachers") if isinstance(options.get(key), (list, Mapping))}
        if "tasks" in named and task not in named["tasks"]:
            continue
        own = {**options, **({"tasks": [task]} if "tasks" in named else {})}
        if isinstance(named.get("teachers"), Mapping):
            if task not in named["teachers"]:
                continue
            own["teachers"] = {task: named["teachers"][task]}
        kept[name] = own
    return kept
