"""One model for five tasks, against one stock model for each: what does sharing the encoder cost?

The multi-task job trains snips (intent and slots on the same rows), sst2, wnut17 and trec at once and appends a JSON
line a task to the output. `stock_baseline.py` makes the other side with the same epochs, rate, batch size and seed.
``--table`` then writes both as Markdown.

    python benchmarks/interference.py --encoder ENCODER --data DATA --seed 1 --output mtl.jsonl
    python benchmarks/interference.py --table stock.jsonl mtl.jsonl
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

from generated import inputs
from real_data import load_folder, task_config
from reporting import parse
from stock_baseline import TASKS
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig


def load(data: Path, weights: dict[str, float]) -> tuple[list[TaskConfig], dict[str, Any]]:
    """Return the tasks and, by folder, the datasets with columns named after tasks."""
    tasks, datasets = [], {}
    for name, task in TASKS.items():
        part = datasets.setdefault(task.folder, load_folder(data / task.folder))
        config = task_config(name, task, part)
        kind = "sentiment" if name == "sentiment" else config.type
        tasks.append(dataclasses.replace(config, type=kind, weight=weights.get(name, 1.0)))
        datasets[task.folder] = part if task.target == name else part.rename_column(task.target, name)
    for folder, part in datasets.items():
        mine = {name: task for name, task in TASKS.items() if task.folder == folder}
        kept = {*mine, *(column for task in mine.values() for column in task.inputs)}
        datasets[folder] = part.select_columns([column for column in part["train"].column_names if column in kept])
    return tasks, datasets


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train once on everything; return a result row for each task."""
    weights = {name: float(value) for name, value in (pair.split("=") for pair in options.weights)}
    tasks, datasets = load(Path(options.data), weights)
    set_seed(options.seed)
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    extra = {} if options.batching is None else {"batching": options.batching}
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(
            options.work,
            num_train_epochs=options.epochs,
            learning_rate=options.learning_rate,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            head_learning_rate=options.head_learning_rate,
            encoder_layer_decay=options.layer_decay,
            max_length=256,
            seed=options.seed,
            save_strategy="no",
            logging_steps=100,
            disable_tqdm=True,
            **extra,
        ),
        {name: part["train"] for name, part in datasets.items()},
        {name: part["validation"] for name, part in datasets.items()},
        AutoTokenizer.from_pretrained(options.encoder),
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    validation = trainer.evaluate()
    test = trainer.evaluate({name: part["test"] for name, part in datasets.items()}, metric_key_prefix="test")
    return [
        {
            "task": name,
            "seed": options.seed,
            "metric": task.metric,
            "value": test[f"test_{name}_{task.metric}"],
            "validation": validation[f"eval_{name}_{task.metric}"],
            "seconds": seconds,
            "variant": options.variant,
        }
        for name, task in TASKS.items()
    ]


def table(stock: Path, ours: Path) -> str:
    """Return the two files' test metrics as a Markdown table, a column a seed, and the differences of the means."""

    def read(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {(row["task"], row["seed"]): row for row in rows}

    first, second = read(stock), read(ours)
    seeds = sorted({seed for _, seed in first} & {seed for _, seed in second})
    head = [*(f"stock, seed {s}" for s in seeds), *(f"multi-task, seed {s}" for s in seeds), "difference of means"]
    lines = [f"| task | metric | {' | '.join(head)} |", "|---|---|" + "---:|" * len(head)]
    differences = []
    for name in TASKS:
        cells = [[source[name, seed]["value"] for seed in seeds] for source in (first, second)]
        difference = statistics.mean(cells[1]) - statistics.mean(cells[0])
        differences.append(difference)
        values = " | ".join(f"{value:.4f}" for value in (*cells[0], *cells[1]))
        lines.append(f"| {name} | {first[name, seeds[0]]['metric']} | {values} | {difference:+.4f} |")
    blank = " | ".join([""] * (2 * len(seeds)))
    lines.append(f"| mean | | {blank} | {statistics.mean(differences):+.4f} |")
    return "\n".join(lines)


def main() -> None:
    """Run the job or write the table."""
    parser = parse(__doc__)
    parser.add_argument("--table", nargs=2, metavar=("STOCK", "OURS"), help="write the table of two result files")
    parser.add_argument("--output", default="runs/interference.jsonl")
    parser.add_argument("--work", default="runs/interference")
    parser.add_argument("--variant", default="default", help="name of this setting in the output")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--head-learning-rate", type=float)
    parser.add_argument("--layer-decay", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batching", choices=("mixed", "homogeneous"))
    parser.add_argument("--weights", nargs="*", default=[], metavar="TASK=WEIGHT")
    options = parser.parse_args()
    if options.table:
        print(table(*map(Path, options.table)))
        return
    with inputs(parser, options) as folder:
        if options.quick:
            options.epochs, options.work, options.output = 1, folder, f"{folder}/results.jsonl"
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        with Path(options.output).open("a") as out:
            for row in run(options):
                print(json.dumps(row), flush=True)
                out.write(json.dumps(row) + "\n")
        if options.quick:
            print(table(Path(options.output), Path(options.output)))


if __name__ == "__main__":
    main()
