"""Cross-validation, one model against one each, calibration and sets of labels, on real rows.

``--measure cv``: snips (intent and slots) and trec in five folds. ``--measure compare``: the six tasks of the training
benchmark, three seeds. ``--measure calibration``: calibration errors of six tasks before and after, on rows that no
temperature saw, and how often sets of labels hold the truth there: fitted on the validation and judged on the test
split, and on random halves of both together, which alone are rows of one kind. The runs are kept under ``--work``,
where the same command continues them.

    python benchmarks/validation.py --measure cv --encoder ENCODER --data DATA --work WORK
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from contestants import PAIR
from contestants import TASKS as SIX
from datasets import concatenate_datasets
from generated import inputs
from real_data import Task, load_folder
from reporting import parse, report

from hf_mtl import MultiTaskModel, MultiTaskTrainer, TaskConfig
from hf_mtl.recipe import PreparedRecipe, Recipe
from hf_mtl.validation import compare, conformal_sets, conformal_threshold, cross_validate, predicted_rows

CROSS_VALIDATED = {
    "intent": Task("snips", ("tokens",), "intent"),
    "slots": Task("snips", ("tokens",), "slot_tags", "token-classification"),
    "trec": SIX["trec"],
}
CALIBRATED = {
    "intent": CROSS_VALIDATED["intent"],
    "trec": SIX["trec"],
    "sst5": Task("sst5", ("text",), "label"),
    "rte": Task("rte", PAIR, "label"),
    "emotions": Task("go_emotions", ("text",), "labels"),
    "wnut17": SIX["wnut17"],
}
METRICS = ["expected_calibration_error", "brier_score", "negative_log_likelihood"]
COVERAGES = (0.8, 0.9, 0.95)


def recipe(
    options: Namespace,
    tasks: Mapping[str, Task],
    place: Path,
    metrics: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return a recipe of some tasks on the first rows of each dataset, shuffled, written under a folder.

    `changes` are arguments of the training in place of the usual ones.
    """
    datasets: dict[str, Any] = {}
    limits = {"train": options.rows, "validation": 500, "test": options.test_rows}
    for name, task in tasks.items():
        if task.folder not in datasets:
            parts = load_folder(Path(options.data) / task.folder, **limits)
            files = {split: str(place / "data" / task.folder / f"{split}.parquet") for split in parts}
            for split, file in files.items():
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                parts[split].to_parquet(file)
            datasets[task.folder] = {"load": {"path": "parquet", "data_files": files}, "columns": dict(task.renamed)}
        datasets[task.folder]["columns"][task.target] = name
    main = {"token-classification": ["seqeval"]}
    training = {
        "output_dir": str(place / "run"),
        "num_train_epochs": options.epochs,
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 64,
        "eval_strategy": "no",
        "save_strategy": "no",
        "max_length": 128,
        "logging_steps": 100,
        "report_to": "none",
        "use_cpu": True,
        **({"max_steps": 2} if options.quick else {}),
        **(changes or {}),
    }
    with_metrics = {
        name: {"metrics": [*main.get(task.kind, ["accuracy" if name != "emotions" else "multilabel_f1"]), *METRICS]}
        for name, task in tasks.items()
    }
    return Recipe.from_dict(
        {
            "encoder": options.encoder,
            "datasets": datasets,
            "training": training,
            **({"tasks": with_metrics} if metrics else {}),
        }
    )


def by_folds(options: Namespace, work: Path) -> None:
    """Cross-validate and print the main metrics."""
    folds = 2 if options.quick else 5
    table = cross_validate(recipe(options, CROSS_VALIDATED, work), work / "cv", folds=folds)
    rows = [
        [row["task"] or "mean", row["metric"], f"{row['mean']:.4f}", f"{row['std']:.4f}"]
        + [f"{row['low']:.4f} to {row['high']:.4f}"]
        + [f"{row[f'fold_{fold}']:.4f}" for fold in range(folds)]
        for row in table[table.is_main].to_dict("records")
    ]
    head = ["task", "metric", "mean", "std", "95 % interval", *(f"fold {fold}" for fold in range(folds))]
    report("Cross-validation", head, rows, {"scores": json.loads(table.to_json(orient="records"))})


def one_against_each(options: Namespace, work: Path) -> None:
    """Compare and print what sharing did."""
    tasks = dict(list(SIX.items())[:2]) if options.quick else SIX
    table = compare(recipe(options, tasks, work), work / "compare", seeds=1 if options.quick else 3)
    found = table.to_dict("records")
    rows = []
    for row in found:
        rows.append([row["task"], row["metric"], row["rows"], f"{row['alone']:.4f}", f"{row['together']:.4f}"])
        rows[-1] += [f"{row['difference']:+.4f}", f"{row['low']:+.4f} to {row['high']:+.4f}", f"{row['std']:.4f}"]
        rows[-1] += [row["verdict"], f"{row['alone_steps']} of {row['together_steps']}", f"{row['alone_seconds']:.0f}"]
    numbers = ("alone", "together", "difference", "95 % of rows", "std of seeds")
    head = ["task", "metric", "test rows", *numbers, "verdict", "steps", "seconds alone"]
    report("One model against one each", head, rows, {"tasks": json.loads(table.to_json(orient="records"))})


def calibration(options: Namespace, work: Path) -> None:
    """Train, calibrate on validation rows, and print what test rows say, and what halves of both together say."""
    tasks = {name: CALIBRATED[name] for name in ("intent", "rte")} if options.quick else CALIBRATED
    prepared = recipe(options, tasks, work, metrics=True).prepare()
    trainer = trained(prepared, work / "model")
    held = {name: concatenate_datasets([data, prepared.test[name]]) for name, data in prepared.validation.items()}
    halves = {name: data.train_test_split(0.5, seed=0) for name, data in held.items()}
    splits = {
        "validation and test split": (prepared.validation, prepared.test),
        "halves of held-out rows": tuple({n: half[side] for n, half in halves.items()} for side in ("train", "test")),
    }
    rows, lines = [], []
    for split, (fitted_on, judged_on) in splits.items():
        for task in trainer.model.tasks:
            trainer.model.replace_task(replace(task, calibration_temperature=None))
        before = trainer.evaluate(judged_on, metric_key_prefix="test")
        fitted = trainer.calibrate(fitted_on)
        after = trainer.evaluate(judged_on, metric_key_prefix="test")
        for name in tasks:
            pairs = [f"{found[f'test_{name}_{metric}']:.4f}" for metric in METRICS for found in (before, after)]
            rows.append([name, split, fitted[name].items, f"{fitted[name].temperature:.3f}", *pairs])
        single = [name for name in tasks if trainer.model.task_heads[name].gives_sets(trainer.model.config.task(name))]
        known, judged = (predicted_rows(trainer, data, tasks=single) for data in (fitted_on, judged_on))
        for name in single:
            sides = [columns(table[table.task == name], trainer.model.config.task(name)) for table in (known, judged)]
            lines += [[name, split, *coverage_row(*sides, coverage)] for coverage in COVERAGES]
    rows.sort(key=lambda row: list(splits).index(row[1]))
    numbers = [f"{short} {when}" for short in ("ECE", "Brier", "NLL") for when in ("before", "after")]
    report("Calibration", ["task", "fitted and judged on", "items", "temperature", *numbers], rows, {})
    head = ["task", "fitted and judged on", "asked", "fitted on", "judged on", "held", "95 % interval", "within"]
    report("Sets of labels", [*head, "mean size", "empty"], lines, {})


def trained(prepared: PreparedRecipe, folder: Path) -> MultiTaskTrainer:
    """Return a trainer of the model in a folder, trained first where there is none."""
    trainer = prepared.build().trainer
    if not folder.exists():
        trainer.train()
        trainer.model.save_pretrained(folder)
    trainer.model.load_state_dict(MultiTaskModel.from_pretrained(folder).state_dict())
    return trainer


def columns(table: pd.DataFrame, task: TaskConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities [n, C] and class ids [n] of a task's rows."""
    return np.array(table.probabilities.tolist()), np.array([task.labels.index(label) for label in table.reference])


def coverage_row(
    known: tuple[np.ndarray, np.ndarray], judged: tuple[np.ndarray, np.ndarray], coverage: float
) -> list[Any]:
    """Return what sets with a threshold of some rows hold of others."""
    sets = conformal_sets(judged[0], conformal_threshold(*known, coverage))
    held = float(sets[np.arange(len(sets)), judged[1]].mean())
    low, high = interval(coverage, len(known[1]), len(sets))
    found = [f"{coverage:.0%}", len(known[1]), len(sets), f"{held:.3f}", f"{low:.3f} to {high:.3f}"]
    sizes = sets.sum(1)
    return [*found, "yes" if low <= held <= high else "no", f"{sizes.mean():.2f}", f"{(sizes == 0).mean():.3f}"]


def interval(coverage: float, fitted: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of the part of ``count`` rows that is held, by a threshold of ``fitted`` others.

    The threshold is one of random rows, so the number that is held is beta-binomial (V. Vovk 2012): 20,000 draws.
    """
    random = np.random.default_rng(0)
    rank = math.ceil((fitted + 1) * coverage)
    held = random.binomial(count, random.beta(rank, fitted + 1 - rank, 20_000))
    low, high = np.quantile(held, [0.025, 0.975]) / count
    return float(low), float(high)


MEASURES = {"cv": by_folds, "compare": one_against_each, "calibration": calibration}


def main() -> None:
    """Measure what was asked for."""
    parser = parse(__doc__)
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--work", type=Path, help="where runs are kept")
    parser.add_argument("--rows", type=int, default=1_000, help="the most training rows of a dataset")
    parser.add_argument("--test-rows", type=int, default=1_000, help="the most test rows of a dataset")
    parser.add_argument("--epochs", type=float, default=3.0)
    options = parser.parse_args()
    with inputs(parser, options) as folder:
        for name in options.measure:
            MEASURES[name](options, (options.work or Path(folder)) / name)


if __name__ == "__main__":
    main()
