"""Does a task learn as well here as with the stock ``Trainer``? Several labels a text, and pairs of texts.

Each task is trained alone, by an unmodified ``Trainer`` with the family's stock class and by hf_mtl, from the same
encoder with the same rows, epochs, batch size, rates, weights of labels and precision. hf_mtl's fast dropout is
switched off, and the stock side learns the numbers of a regression with mean 0 and standard deviation 1, as hf_mtl does
(``--raw-labels``: as they are). What is left to differ are the order of the rows, dropout's numbers and the precision
of the heads, which hf_mtl computes in float32. The stock side's metrics are those of scikit-learn and SciPy. A run
appends a JSON line to ``--output``; runs that are there already are passed over, and ``--table`` prints what is there.

    python benchmarks/task_types.py --encoder ENCODER --data DATA --output task_types.jsonl
    python benchmarks/task_types.py --table task_types.jsonl
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from generated import inputs
from real_data import Task, load_folder, task_config
from reporting import parse, report, run_missing
from stock import StockRun
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments

PAIR = ("sentence1", "sentence2")
TASKS = {
    "go_emotions": Task("go_emotions", ("text",), "labels", problem_type="multi_label_classification"),
    "stsb": Task("stsb", PAIR, "score", "regression"),
    "sick relatedness": Task("sick", PAIR, "relatedness", "regression"),
    "sick entailment": Task("sick", PAIR, "label"),
    "mrpc": Task("mrpc", PAIR, "label"),
    "rte": Task("rte", PAIR, "label"),
}


@dataclass(frozen=True)
class Setting:
    """How a task is trained, alike on both sides: a few minutes on two cores.

    Args:
        epochs: Epochs.
        rows: The most training rows.
        rate: Learning rate.
        head_rate: That of the heads' new layers; ``None``: the same.
        balanced: Whether rare ones of several labels weigh more; else 28 labels take thousands of steps to be named.
        max_length: The most tokens of a row.
    """

    epochs: float = 2.0
    rows: int = 2_000
    rate: float = 2e-4
    head_rate: float | None = None
    balanced: bool = False
    max_length: int = 256


SETTINGS = dict.fromkeys(TASKS, Setting()) | {
    "go_emotions": Setting(epochs=3.0, rows=4_000, head_rate=2e-3, balanced=True),
    "rte": Setting(epochs=5.0, rows=2_213, rate=5e-5, head_rate=5e-4, max_length=128),
}
TEST_ROWS = 1_000
#: Metrics by how their names begin, as both sides call them.
METRICS = ("accuracy", "f1_micro", "f1_macro", "pearson", "spearman")


def settings(options: argparse.Namespace, name: str, work: str) -> dict[str, Any]:
    """Return the training arguments that both sides get."""
    setting = SETTINGS[name]
    return {
        "output_dir": work,
        "num_train_epochs": 1.0 if options.quick else setting.epochs,
        "learning_rate": setting.rate,
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 64,
        "bf16": True,
        "use_cpu": not options.gpu,
        "save_strategy": "no",
        "disable_tqdm": True,
    }


def stock(options: argparse.Namespace, name: str, seed: int, work: str) -> dict[str, float]:
    """Train with an unmodified ``Trainer``; return the test metrics."""
    setting = SETTINGS[name]
    rows = {"train": setting.rows, "test": TEST_ROWS}
    side = StockRun(
        TASKS[name],
        Path(options.data),
        options.encoder,
        standardized=not options.raw_labels,
        max_length=setting.max_length,
        **rows,
    )
    trainer, _ = side.train(seed, settings(options, name, work), setting.head_rate, setting.balanced)
    return side.test(trainer)


def ours(options: argparse.Namespace, name: str, seed: int, work: str) -> dict[str, float]:
    """Train with hf_mtl; return the test metrics."""
    task, setting = TASKS[name], SETTINGS[name]
    data = load_folder(Path(options.data) / task.folder, train=setting.rows, test=TEST_ROWS)
    more = {"pos_weight": "balanced"} if setting.balanced else {}
    config = task_config("task", task, data, **more)
    columns = {**task.renamed, task.target: "task"}
    data = data.select_columns(list(columns)).rename_columns(columns)
    set_seed(seed)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, [config]),
        MultiTaskTrainingArguments(
            **settings(options, name, work),
            seed=seed,
            max_length=setting.max_length,
            head_learning_rate=setting.head_rate or setting.rate,
            fast_dropout=False,
        ),
        {"data": data["train"]},
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
    )
    trainer.train()
    found = trainer.evaluate({"data": data["test"]}, metric_key_prefix="test")
    return {metric: found[f"test_task_{metric}"] for metric in METRICS if f"test_task_{metric}" in found}


SIDES = {"stock": stock, "hf_mtl": ours}


def run(options: argparse.Namespace, name: str, side: str, seed: int, work: str) -> dict[str, Any]:
    """Train one side; return its row."""
    started = time.perf_counter()
    metrics = SIDES[side](options, name, seed, work)
    return {"task": name, "side": side, "seed": seed, "seconds": time.perf_counter() - started, "metrics": metrics}


def show(file: Path) -> None:
    """Print the runs of a file as a table: each metric of each task, both sides, a value a seed."""
    runs = [json.loads(line) for line in file.read_text().splitlines()]
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for found in runs:
        for metric in METRICS:
            # Of one label a row the micro F1 is the accuracy.
            if metric in found["metrics"] and not (metric == "f1_micro" and "accuracy" in found["metrics"]):
                sides = values.setdefault((found["task"], metric), {side: [] for side in SIDES})
                sides[found["side"]].append(found["metrics"][metric])
    rows = []
    for (task, metric), sides in sorted(values.items(), key=lambda item: list(TASKS).index(item[0][0])):
        singles = [", ".join(f"{100 * value:.1f}" for value in sides[side]) for side in SIDES]
        means = [statistics.mean(sides[side]) if sides[side] else float("nan") for side in SIDES]
        rows.append([task, metric, *singles, f"{100 * (means[1] - means[0]):+.1f}"])
    report("Task types against the stock Trainer", ["task", "metric", *SIDES, "difference"], rows, {"runs": runs})


def main() -> None:
    """Run what is missing, or print the table."""
    parser = parse(__doc__)
    parser.add_argument("--tasks", nargs="*", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--raw-labels", action="store_true", help="leave the numbers of the stock side as they are")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        show(options.table)
        return
    with inputs(parser, options) as folder:
        if options.quick:
            options.seeds = [1]
        output = options.output or Path(folder) / "task_types.jsonl"
        runs = {
            (name, side, seed): partial(run, options, name, side, seed, folder)
            for seed in options.seeds
            for name in options.tasks
            for side in SIDES
        }
        run_missing(output, runs, ("task", "side", "seed"))
        show(output)


if __name__ == "__main__":
    main()
