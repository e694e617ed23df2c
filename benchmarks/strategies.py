"""Which sampler and which balancer help? One model on twelve datasets of very different size, each strategy in turn.

Every run takes the same steps from the same encoder; only the strategy and the seed differ. Datasets are cut to the
sizes in `DATASETS`. A run appends a JSON line to ``--output``; runs that are there already are passed over, so that a
table can be filled in several sittings, and ``--table`` prints what is there.

    python benchmarks/strategies.py --encoder ENCODER --data DATA --output strategies.jsonl
    python benchmarks/strategies.py --table strategies.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

from generated import inputs
from real_data import Task, load_folder, task_config
from reporting import parse, report, run_missing
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

PAIR = ("sentence1", "sentence2")
TAGGING = "token-classification"
#: Training rows taken of each folder, and its tasks.
DATASETS = {
    "subjectivity": (250, [Task("subjectivity", ("text",), "label")]),
    "trec": (500, [Task("trec", ("text",), "coarse")]),
    "wikigold": (1_187, [Task("wikigold", ("tokens",), "ner_tags", TAGGING)]),
    "atis": (1_500, [Task("atis", ("tokens",), "intent"), Task("atis", ("tokens",), "slot_tags", TAGGING)]),
    "rte": (2_213, [Task("rte", PAIR, "label")]),
    "wnut17": (3_394, [Task("wnut17", ("tokens",), "ner_tags", TAGGING)]),
    "mrpc": (3_576, [Task("mrpc", PAIR, "label")]),
    "stsb": (5_749, [Task("stsb", PAIR, "score", "regression")]),
    "mit_restaurant": (6_894, [Task("mit_restaurant", ("tokens",), "ner_tags", TAGGING)]),
    "sst2": (6_920, [Task("sst2", ("text",), "label")]),
    "snips": (13_084, [Task("snips", ("tokens",), "intent"), Task("snips", ("tokens",), "slot_tags", TAGGING)]),
    "go_emotions": (30_000, [Task("go_emotions", ("text",), "labels", problem_type="multi_label_classification")]),
}
VALIDATION_ROWS, TEST_ROWS = 48, 300

#: Steps between two decisions of the strategies that learn.
INTERVAL = 20
#: Strategies by name: what each changes of the arguments.
SAMPLERS: dict[str, dict[str, Any]] = {
    "proportional": {},
    "uniform": {"sampling": "uniform"},
    "temperature 2": {"sampling": "temperature", "sampling_options": {"temperature": 2.0}},
    "temperature 5": {"sampling": "temperature", "sampling_options": {"temperature": 5.0}},
    "capped at 3,000": {"sampling": "capped", "sampling_options": {"limit": 3000}},
    "annealed": {"sampling": "annealed"},
    "round-robin": {"sampling": "round-robin"},
    "bandit": {"sampling": "bandit", "sampling_options": {"interval": INTERVAL}},
    "difficulty": {
        "sampling": "difficulty",
        "sampling_options": {"interval": INTERVAL},
        "eval_strategy": "steps",
        "eval_steps": INTERVAL,
    },
}
MIXED: dict[str, Any] = {"batching": "mixed"}
#: Samplers where every step has rows of several datasets.
MIXTURES: dict[str, dict[str, Any]] = {
    "mixed": MIXED,
    "mixed, uniform": {"sampling": "uniform", **MIXED},
    "mixed, temperature 2": {"sampling": "temperature", "sampling_options": {"temperature": 2.0}, **MIXED},
}
BALANCERS: dict[str, dict[str, Any]] = {
    "equal": {"balancing": "equal"},
    "uncertainty": {"balancing": "uncertainty"},
    "dwa": {"balancing": "dwa", "balancing_options": {"interval": INTERVAL}},
    "random": {"balancing": "random"},
    "log_classes": {"loss_scaling": "log_classes"},
    "mixed, equal": {"balancing": "equal", **MIXED},
    "mixed, geometric": {"balancing": "geometric", **MIXED},
    "mixed, famo": {"balancing": "famo", **MIXED},
    "mixed, upgrad": {"balancing": "gradient", "balancing_options": {"aggregator": "upgrad"}, **MIXED},
}
STRATEGIES = {**SAMPLERS, **MIXTURES, **BALANCERS}


@cache
def read(data: Path, seed: int) -> tuple[dict[str, tuple[TaskConfig, str]], dict[str, dict[str, Any]]]:
    """Return the tasks by name (``<dataset>_<column>``) with their metric, and each split's datasets, cut to size."""
    tasks, splits = {}, {"train": {}, "validation": {}, "test": {}}
    for name, (train_rows, columns) in DATASETS.items():
        parts = load_folder(data / name)
        renamed = dict(columns[0].renamed)
        for task in columns:
            renamed[task.target] = f"{name}_{task.target}"
            tasks[renamed[task.target]] = task_config(renamed[task.target], task, parts), task.metric
        for split, rows in (("train", train_rows), ("validation", VALIDATION_ROWS), ("test", TEST_ROWS)):
            part = parts[split].shuffle(seed=seed).select(range(min(rows, len(parts[split]))))
            splits[split][name] = part.select_columns(list(renamed)).rename_columns(renamed)
    return tasks, splits


def run(options: argparse.Namespace, name: str, seed: int, work: str) -> dict[str, Any]:
    """Train one strategy; return the main metric of each task on the test rows, and the rows drawn."""
    # The cut is the same for all seeds: seeds then tell of the training alone.
    tasks, splits = read(Path(options.data), seed=0)
    set_seed(seed)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, [task for task, _ in tasks.values()]),
        MultiTaskTrainingArguments(
            work,
            max_steps=options.steps,
            learning_rate=2e-4,
            per_device_train_batch_size=32,
            per_device_eval_batch_size=64,
            max_length=64,
            seed=seed,
            save_strategy="no",
            logging_steps=max(options.steps // 10, 1),
            disable_tqdm=True,
            use_cpu=not options.gpu,
            **STRATEGIES[name],
        ),
        splits["train"],
        splits["validation"],
        AutoTokenizer.from_pretrained(options.encoder),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    test = trainer.evaluate(splits["test"], metric_key_prefix="test")
    drawn = dict.fromkeys(splits["train"], 0.0)
    for entry in trainer.state.log_history:
        for key in drawn:
            drawn[key] += entry.get(f"rows/{key}", 0.0)
    return {
        "strategy": name,
        "seed": seed,
        "steps": options.steps,
        "seconds": seconds,
        "mean": test["test_score"],
        "tasks": {name: test[f"test_{name}_{metric}"] for name, (_, metric) in tasks.items()},
        "rows": drawn,
    }


def show(file: Path) -> None:
    """Print the runs of a file as a table, best first: the mean over tasks, over seeds and of each, and each task."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for found in map(json.loads, file.read_text().splitlines()):
        runs.setdefault(found["strategy"], []).append(found)
    tasks = list(next(iter(runs.values()))[0]["tasks"])
    means = {name: statistics.mean(found["mean"] for found in mine) for name, mine in runs.items()}
    rows = []
    for name in sorted(runs, key=lambda name: -means[name]):
        singles = ", ".join(f"{100 * found['mean']:.1f}" for found in runs[name])
        each = [statistics.mean(found["tasks"][task] for found in runs[name]) for task in tasks]
        rows.append([name, f"{100 * means[name]:.1f}", singles, *(f"{100 * value:.1f}" for value in each)])
    report("Samplers and balancers", ["strategy", "mean", "single seeds", *tasks], rows, {"means": means})


def main() -> None:
    """Run what is missing, or print the table."""
    parser = parse(__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", nargs="*", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        show(options.table)
        return
    with inputs(parser, options) as folder:
        if options.quick:
            options.steps, options.seeds = 2, [1]
        output = options.output or Path(folder) / "strategies.jsonl"
        runs = {
            (name, seed): partial(run, options, name, seed, folder) for seed in options.seeds for name in options.only
        }
        run_missing(output, runs, ("strategy", "seed"))
        show(output)


if __name__ == "__main__":
    main()
