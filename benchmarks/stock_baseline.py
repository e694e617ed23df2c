"""Fine-tune the encoder on one task alone with the stock ``Trainer``, and print its test metric.

This is the yardstick of ``benchmarks/results/interference.md``: nothing of hf_mtl takes part in it.
Each line of the output file is one JSON object: task, seed, metric, value, seconds.

    python benchmarks/stock_baseline.py --encoder ENCODER --data DATA --seed 1 --output stock.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from generated import inputs
from real_data import Task
from reporting import parse
from stock import StockRun

TASKS = {
    "ner": Task("wnut17", ("tokens",), "ner_tags", "token-classification"),
    "question_type": Task("trec", ("text",), "coarse"),
    "sentiment": Task("sst2", ("text",), "label"),
    "intent": Task("snips", ("tokens",), "intent"),
    "slots": Task("snips", ("tokens",), "slot_tags", "token-classification"),
}


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and test one task; return its result row."""
    side = StockRun(TASKS[name], Path(options.data), options.encoder)
    arguments = {
        "output_dir": options.work,
        "num_train_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": 64,
        "bf16": options.bf16,
        "use_cpu": not torch.cuda.is_available(),
        "save_strategy": "no",
        "logging_steps": 100,
        "disable_tqdm": True,
    }
    started = time.perf_counter()
    trainer, _ = side.train(options.seed, arguments)
    seconds = time.perf_counter() - started
    metric = TASKS[name].metric
    value = side.test(trainer)[metric]
    return {"task": name, "seed": options.seed, "metric": metric, "value": value, "seconds": seconds}


def main() -> None:
    """Run the tasks asked for and append a line each to the output file."""
    parser = parse(__doc__)
    parser.add_argument("--output", default="runs/stock_baseline.jsonl")
    parser.add_argument("--work", default="runs/stock_baseline")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    with inputs(parser, options) as folder:
        if options.quick:
            options.epochs, options.work, options.output = 1, folder, f"{folder}/results.jsonl"
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        for name in options.tasks:
            row = run(name, options)
            print(json.dumps(row), flush=True)
            with Path(options.output).open("a") as out:
                out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
