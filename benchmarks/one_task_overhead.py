"""What multi-task training costs where it can gain nothing: one task whose rows all have one length.

Time of a step of ``MultiTaskTrainer`` against a stock ``Trainer``'s, both in float32, in fresh processes, in turn. With
torch's own dropout and memory, too: what the library adds, and what it saves, are then apart.

    python benchmarks/one_task_overhead.py --encoder ENCODER
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contestants import BATCH_SIZE, Clock
from datasets import ClassLabel, Dataset
from generated import save_encoder
from reporting import fresh, in_turn, parse, report
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

CONTESTANTS = {
    "stock": {},
    "hf_mtl, torch's dropout and memory": {"fast_dropout": False, "reuse_memory": False},
    "hf_mtl": {},
}


def rows_of_one_length(steps: int, tokens: int) -> Dataset:
    """Return texts of as many tokens each: digits, which every tokenizer keeps apart."""
    torch.manual_seed(0)
    digits = torch.randint(0, 10, (BATCH_SIZE * steps, tokens - 2)).tolist()
    data = Dataset.from_dict({"text": [" ".join(map(str, row)) for row in digits], "label": [r[0] % 2 for r in digits]})
    return data.cast_column("label", ClassLabel(names=["even", "odd"]))


def train(options: argparse.Namespace) -> dict[str, float]:
    """Train one contestant; return its milliseconds a step."""
    data, tokenizer = rows_of_one_length(options.steps, options.tokens), AutoTokenizer.from_pretrained(options.encoder)
    arguments: dict[str, Any] = {
        "output_dir": options.work,
        "per_device_train_batch_size": BATCH_SIZE,
        "use_cpu": True,
        "save_strategy": "no",
        "num_train_epochs": 1,
        "disable_tqdm": True,
    }
    clock = Clock()
    set_seed(1)
    trainer: Trainer
    if options.contestant == "stock":
        encoded = data.map(lambda batch: tokenizer(batch["text"]), batched=True, remove_columns="text")
        trainer = Trainer(
            AutoModelForSequenceClassification.from_pretrained(options.encoder, num_labels=2),
            TrainingArguments(**arguments),
            DataCollatorWithPadding(tokenizer),
            encoded,
            callbacks=[clock],
        )
    else:
        task = TaskConfig("label", "sequence-classification", labels=["even", "odd"])
        trainer = MultiTaskTrainer(
            MultiTaskModel.from_encoder(options.encoder, [task]),
            MultiTaskTrainingArguments(**arguments, precision="float32", **CONTESTANTS[options.contestant]),
            {"digits": data},
            processing_class=tokenizer,
            callbacks=[clock],
        )
    trainer.train()
    steps = [1000 * (end - start) for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {"milliseconds": statistics.median(steps[2:])}


def main() -> None:
    """Run one contestant, or take turns and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.contestant:
            print(json.dumps(train(options)))
            return
        if options.quick:
            options.encoder, options.steps, options.rounds = save_encoder(Path(options.work)), 8, 1
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--steps", options.steps, "--tokens", options.tokens]
        starts = {name: partial(fresh, __file__, "--contestant", name, *given) for name in CONTESTANTS}
        runs = in_turn(starts, options.rounds)
    times = {name: [run["milliseconds"] for run in found] for name, found in runs.items()}
    rows, facts = [], {}
    for name, found in times.items():
        ratios = [mine / base for mine, base in zip(found, times["stock"], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([name, f"{statistics.median(found):.1f}", f"{statistics.median(ratios):.3f}", spread])
        facts[name] = {"milliseconds": statistics.median(found), "against_stock": statistics.median(ratios)}
    head = ["contestant", "ms a step", "against stock, median of rounds", "single rounds"]
    report("One task, rows of one length", head, rows, facts)


if __name__ == "__main__":
    main()
