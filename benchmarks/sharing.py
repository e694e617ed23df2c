"""Is one model as good as one each? Stock models, our single models, and one model with each way to share better.

Every side takes the same encoder, rows, epochs, rate, batch size and seed. A run appends a JSON line to ``--output``;
runs that are there already are passed over, so that a table can be filled in several sittings, and ``--table`` prints
what is there. Sides of single models are one run a task.

    python benchmarks/sharing.py --encoder ENCODER --data DATA --set six --only stock plain --output sharing.jsonl
    python benchmarks/sharing.py --table sharing.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from contestants import PAIR
from contestants import TASKS as SIX
from datasets import Dataset
from generated import inputs
from real_data import Task, load_folder, task_config
from reporting import parse, report, run_missing
from stock import StockRun
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.distillation import store_predictions
from hf_mtl.surgery import choose_factor
from hf_mtl.validation import cross_validate

TAGGING = "token-classification"
SETS: dict[str, dict[str, Task]] = {
    "six": SIX,
    "twelve": {
        "snips": Task("snips", ("tokens",), "intent"),
        "trec": SIX["trec"],
        "sst5": Task("sst5", ("text",), "label"),
        "go_emotions": Task("go_emotions", ("text",), "labels", problem_type="multi_label_classification"),
        "sick": Task("sick", PAIR, "label"),
        "rte": Task("rte", PAIR, "label"),
        "mrpc": SIX["mrpc"],
        "stsb": SIX["stsb"],
        "wnut17": SIX["wnut17"],
        "wikigold": Task("wikigold", ("tokens",), "ner_tags", TAGGING),
        "mit_movie": Task("mit_movie", ("tokens",), "ner_tags", TAGGING),
        "mit_restaurant": SIX["mit_restaurant"],
    },
    "entities": {"wnut17": SIX["wnut17"], "wikigold": Task("wikigold", ("tokens",), "ner_tags", TAGGING)},
    "pairs": {"rte": Task("rte", PAIR, "label"), "mrpc": SIX["mrpc"]},
}
#: Sides of one model a task.
SINGLE: dict[str, dict[str, Any]] = {
    "stock": {},
    "alone": {},
    "alone, tail": {"average": {"kind": "tail"}},
    "alone, constant rate, ema": {"lr_scheduler_type": "constant", "average": {"kind": "ema"}},
    **{
        f"alone, {name}": {"augmentation": {name: {}}}
        for name in ("word-masking", "word-deletion", "segment-shuffling", "mention-replacement", "token-replacement")
    },
    **{f"alone, {name}": {"methods": {name: {}}} for name in ("r-drop", "fgm", "pgd", "freelb", "smart")},
}


def by_family(task: Task) -> str:
    """Return the branch of a task: tagging, pairs or single sentences."""
    return "tagging" if task.kind == TAGGING else "pairs" if len(task.inputs) == 2 else "sentences"


def tagging_alone(task: Task) -> str | None:
    """Return the branch of a task if only tagging has one."""
    return "tagging" if task.kind == TAGGING else None


def by_task(task: Task) -> str:
    """Return a branch for each task."""
    return f"{task.folder}_{task.target}"


@dataclass(frozen=True)
class OneModel:
    """A side of one model: which branch a task reads, its layers, and arguments of the training."""

    branch_of: Callable[[Task], str | None] = lambda task: None
    layers: int = 0
    #: Whether a task of several labels sums its loss over them: by default that is their mean, which is small.
    summed_labels: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    #: Whether its encoder is interpolated with the pretrained one, by the factor that validation rows choose.
    interpolated: bool = False


TAIL, EMA = {"average": {"kind": "tail"}}, {"average": {"kind": "ema"}}
#: The mean rate of a constant one, falling linearly.
DOUBLE = {"learning_rate": 2e-4}
CONSTANT = {"lr_scheduler_type": "constant"}
SHARED = {
    "plain": OneModel(),
    **{f"tagging {k}": OneModel(tagging_alone, k) for k in (1, 2, 3)},
    **{f"families {k}": OneModel(by_family, k) for k in (1, 2, 3)},
    **{f"tasks {k}": OneModel(by_task, k) for k in (1, 2, 3)},
    "tail": OneModel(arguments=TAIL),
    "ema": OneModel(arguments=EMA),
    "tagging 2, tail": OneModel(tagging_alone, 2, arguments=TAIL),
    "families 1, tail": OneModel(by_family, 1, arguments=TAIL),
    "tagging 2, lower rate": OneModel(tagging_alone, 2, arguments={"encoder_layer_decay": 0.9}),
    "summed labels": OneModel(summed_labels=True),
    "summed labels, interpolated": OneModel(summed_labels=True, interpolated=True),
    "tail, summed labels": OneModel(summed_labels=True, arguments=TAIL),
    "tagging 2, tail, summed labels": OneModel(tagging_alone, 2, True, TAIL),
    "tagging 2, tail, summed labels, interpolated": OneModel(tagging_alone, 2, True, TAIL, True),
    "double rate": OneModel(arguments=DOUBLE),
    "double rate, ema": OneModel(arguments={**DOUBLE, **EMA}),
    "constant rate": OneModel(arguments=CONSTANT),
    "constant rate, tail": OneModel(arguments={**CONSTANT, **TAIL}),
    "constant rate, ema": OneModel(arguments={**CONSTANT, **EMA}),
    "constant rate, ema, summed labels": OneModel(summed_labels=True, arguments={**CONSTANT, **EMA}),
}


def training_arguments(options: argparse.Namespace, work: str, seed: int) -> dict[str, Any]:
    """Return the arguments that all sides get."""
    return {
        "output_dir": work,
        "num_train_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 64,
        "save_strategy": "no",
        "logging_steps": 100,
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": not options.gpu,
    }


def limits(options: argparse.Namespace) -> dict[str, int]:
    """Return the most rows of each split."""
    return {"train": options.rows, "validation": 500, "test": 2_000}


def stock(options: argparse.Namespace, task: Task, seed: int, work: str) -> dict[str, Any]:
    """Train and test one task with an unmodified ``Trainer`` in bfloat16, batches by length."""
    side = StockRun(task, Path(options.data), options.encoder, **limits(options))
    extra = {"bf16": True, "train_sampling_strategy": "group_by_length"}
    started = time.perf_counter()
    trainer, _ = side.train(seed, {**training_arguments(options, work, seed), **extra})
    seconds = time.perf_counter() - started
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    return {"values": [side.test(trainer)[task.metric]], "seconds": seconds, "parameters": parameters}


def prepared(
    options: argparse.Namespace, tasks: Mapping[str, Task], side: OneModel = SHARED["plain"]
) -> tuple[list[TaskConfig], dict[str, dict[str, Dataset]]]:
    """Return the tasks and their rows by split as hf_mtl takes them."""
    configs, splits = [], {"train": {}, "validation": {}, "test": {}}
    for name, task in tasks.items():
        parts = load_folder(Path(options.data) / task.folder, **limits(options))
        config = task_config(name, task, parts, branch=side.branch_of(task))
        if side.summed_labels and task.problem_type == "multi_label_classification":
            config = replace(config, weight=float(config.num_labels))
        configs.append(config)
        renamed = {**task.renamed, task.target: name}
        for split, rows in splits.items():
            rows[name] = parts[split].select_columns(list(renamed)).rename_columns(renamed)
    return configs, splits


def trained(
    options: argparse.Namespace,
    configs: Sequence[TaskConfig],
    splits: Mapping[str, Mapping[str, Dataset]],
    layers: int,
    extra: Mapping[str, Any],
    seed: int,
    work: str,
) -> MultiTaskTrainer:
    """Train one model for some tasks, on the rows of theirs."""
    branches = {config.branch: layers for config in configs if config.branch}
    own = [config.name for config in configs]
    set_seed(seed)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, configs, branches=branches or None),
        MultiTaskTrainingArguments(
            **{**training_arguments(options, work, seed), "max_length": 256, **extra}, seed=seed
        ),
        {name: splits["train"][name] for name in own},
        {name: splits["validation"][name] for name in own},
        AutoTokenizer.from_pretrained(options.encoder),
    )
    trainer.train()
    return trainer


def ours(
    options: argparse.Namespace,
    tasks: Mapping[str, Task],
    side: OneModel,
    seed: int,
    work: str,
) -> dict[str, Any]:
    """Train one model for some tasks and test it."""
    configs, splits = prepared(options, tasks, side)
    trainer, seconds = trained_once(options, tuple(tasks), side, seed, configs, splits, work)
    found: dict[str, Any] = {}

    def tested(model: MultiTaskModel, split: str) -> list[float]:
        judge = MultiTaskTrainer(model, trainer.args, None, splits[split], trainer.processing_class)
        scores = judge.evaluate(metric_key_prefix="now")
        return [scores[f"now_{name}_{task.metric}"] for name, task in tasks.items()]

    model = trainer.model
    if side.interpolated:
        model, found["factor"], scores = choose_factor(
            model, options.encoder, lambda between: statistics.mean(tested(between, "validation")), FACTORS
        )
        found["validation"] = list(scores.values())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {"values": tested(model, "test"), "seconds": seconds, "parameters": parameters, **found}


#: The last one model, for the side that only changes it afterwards: what it was trained with, itself, its seconds.
LAST: dict[tuple[Any, ...], tuple[MultiTaskTrainer, float]] = {}


def trained_once(
    options: argparse.Namespace,
    names: tuple[str, ...],
    side: OneModel,
    seed: int,
    configs: Sequence[TaskConfig],
    splits: Mapping[str, Mapping[str, Dataset]],
    work: str,
) -> tuple[MultiTaskTrainer, float]:
    """Train one model, unless it was the last one, and return it with the seconds that it took."""
    key = (names, side.branch_of, side.layers, side.summed_labels, repr(side.arguments), seed)
    if key not in LAST:
        started = time.perf_counter()
        trainer = trained(options, configs, splits, side.layers, side.arguments, seed, work)
        LAST.clear()
        LAST[key] = trainer, time.perf_counter() - started
    return LAST[key]


def by_singles(options: argparse.Namespace, tasks: Mapping[str, Task], seed: int, work: str) -> Path:
    """Train one model a task, and store its answers to the rows that it was trained on."""
    configs, splits = prepared(options, tasks)
    teachers, file = {}, Path(work) / f"singles-{seed}.parquet"
    for config in configs:
        teachers[config.name] = str(Path(work) / f"single-{seed}-{config.name}")
        trained(options, [config], splits, 0, {}, seed, work).save_model(teachers[config.name])
    store_predictions(
        teachers, {name: splits["train"][name] for name in tasks}, configs, file, max_length=256, progress=False
    )
    return file


def by_losers(options: argparse.Namespace, tasks: Mapping[str, Task], seed: int, work: str) -> Path:
    """Do it for the tasks that the one model does worst against single models."""
    return by_singles(options, {name: tasks[name] for name in ("stsb", "wnut17")}, seed, work)


def by_folds(options: argparse.Namespace, tasks: Mapping[str, Task], seed: int, work: str) -> Path:
    """Train one model of all tasks for each of three folds, and store its answers to the rows that were left out."""
    configs, splits = prepared(options, tasks)
    datasets: dict[str, Any] = {}
    for name in tasks:
        files = {split: str(Path(work) / f"{name}-{split}.parquet") for split in ("train", "validation")}
        for split, file in files.items():
            splits[split][name].to_parquet(file)
        columns = {column: column for column in splits["train"][name].column_names}
        datasets[name] = {"load": {"path": "parquet", "data_files": files}, "columns": columns}
    own = {config.name: {k: v for k, v in config.to_dict().items() if k in ("type", "labels")} for config in configs}
    training = {**training_arguments(options, work, seed), "seed": seed, "max_length": 256}
    recipe = {"encoder": options.encoder, "datasets": datasets, "tasks": own, "training": training}
    folder = Path(work) / f"folds-{seed}"
    cross_validate(recipe, folder, folds=3, progress=False)
    return folder / "oof.parquet"


def distilled(
    options: argparse.Namespace,
    tasks: Mapping[str, Task],
    answers: Callable[[argparse.Namespace, Mapping[str, Task], int, str], Path],
    annealing: str,
    side: OneModel,
    seed: int,
    work: str,
) -> dict[str, Any]:
    """Train one model of all tasks from teachers' stored answers; its seconds include theirs."""
    started = time.perf_counter()
    method = {"distillation": {"teachers": str(answers(options, tasks, seed, work)), "annealing": annealing}}
    before = time.perf_counter() - started
    found = ours(options, tasks, replace(side, arguments={**side.arguments, "methods": method}), seed, work)
    return {**found, "seconds": found["seconds"] + before}


#: Sides of one model that learns from teachers: whose answers, whether the teacher's share falls, and its other sides.
DISTILLED = {
    f"distilled, {name}, {annealing}": (answers, annealing, SHARED["plain"])
    for name, answers in (("singles", by_singles), ("folds", by_folds))
    for annealing in ("linear", "constant")
} | {
    f"{name}, taught stsb and wnut17": (by_losers, "linear", SHARED[name])
    for name in ("summed labels", "tagging 2, tail, summed labels")
}


def planned(options: argparse.Namespace, work: str) -> dict[tuple[Any, ...], Callable[[], dict[str, Any]]]:
    """Return what is to run, by set, side, task ("all" for one model), seed, rows and epochs."""
    tasks, runs = SETS[options.set], {}

    def add(side: str, which: Sequence[str], seed: int, run: Callable[[], dict[str, Any]]) -> None:
        key = (options.set, side, "all" if len(which) > 1 else which[0], seed, options.rows, options.epochs)
        fields = dict(zip(KEYS, key, strict=True))

        def noted() -> dict[str, Any]:
            found = run()
            return {**fields, "names": list(which), **found}

        runs[key] = noted

    for seed in options.seeds:
        for side in options.only:
            if side in SHARED:
                add(side, list(tasks), seed, partial(ours, options, tasks, SHARED[side], seed, work))
                continue
            if side in DISTILLED:
                add(side, list(tasks), seed, partial(distilled, options, tasks, *DISTILLED[side], seed, work))
                continue
            for name, task in tasks.items():
                if side == "stock":
                    run = partial(stock, options, task, seed, work)
                else:
                    run = partial(ours, options, {name: task}, OneModel(arguments=SINGLE[side]), seed, work)
                add(side, [name], seed, run)
    return runs


#: Shares of the trained weights that an interpolation chooses from.
FACTORS = (0.6, 0.7, 0.8, 0.9, 1.0)
KEYS = ("set", "side", "task", "seed", "rows", "epochs")


def show(file: Path) -> None:
    """Print a table for each set, number of rows and epochs: the mean over tasks, of each seed, and each task."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    settings = dict.fromkeys((row["set"], row["rows"], row["epochs"]) for row in found)
    for chosen in settings:
        mine = [row for row in found if (row["set"], row["rows"], row["epochs"]) == chosen]
        names = list(SETS[chosen[0]])
        rows, facts = [], {}
        for side in dict.fromkeys(row["side"] for row in mine):
            by_seed: dict[int, dict[str, float]] = {}
            parameters, seconds = {}, {}
            for row in (row for row in mine if row["side"] == side):
                by_seed.setdefault(row["seed"], {}).update(zip(row["names"], row["values"], strict=True))
                parameters[row["seed"], row["task"]] = row["parameters"]
                seconds[row["seed"], row["task"]] = row["seconds"]
            whole = {seed: values for seed, values in by_seed.items() if set(values) == set(names)}
            if not whole:
                continue
            means = {seed: statistics.mean(values.values()) for seed, values in whole.items()}
            count = sum(n for (seed, _), n in parameters.items() if seed == min(whole)) / 1e6
            spent = sum(n for (seed, _), n in seconds.items() if seed in whole) / len(whole)
            each = [f"{100 * statistics.mean(values[name] for values in whole.values()):.1f}" for name in names]
            single = ", ".join(f"{100 * mean:.1f}" for mean in means.values())
            mean = statistics.mean(means.values())
            rows.append([side, f"{100 * mean:.1f}", single, *each, f"{count:.1f}", f"{spent:.0f}"])
            facts[side] = {"mean": mean, "means": means, "parameters_millions": count, "seconds": spent}
        head = ["side", "mean", "single seeds", *names, "million parameters", "seconds"]
        title = f"Sharing: {chosen[0]} tasks, at most {chosen[1]} training rows each, {chosen[2]} epochs"
        report(title, head, rows, facts)


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = parse(__doc__)
    parser.add_argument("--set", choices=SETS, default="six")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument(
        "--only", nargs="*", choices=[*SINGLE, *SHARED, *DISTILLED], default=["stock", "alone", "plain"]
    )
    parser.add_argument("--rows", type=int, default=100_000, help="the most training rows of a task")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        show(options.table)
        return
    with inputs(parser, options) as folder:
        if options.quick:
            options.rows, options.epochs, options.only = (
                40,
                1.0,
                ["stock", "alone", "plain", "summed labels, interpolated", "tagging 1", "distilled, folds, linear"],
            )
        output = options.output or Path(folder) / "sharing.jsonl"
        run_missing(output, planned(options, folder), KEYS)
        show(output)


if __name__ == "__main__":
    main()
