"""Both sides of the training benchmark: six real tasks, a stock ``Trainer`` for each, and one model for all."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from real_data import Task, load_folder, task_config
from stock import WARM_UP, Clock, StockRun, curve
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments

CONTESTANTS = {
    "stock": {},
    "stock, bf16 and by length": {"bf16": True, "train_sampling_strategy": "group_by_length"},
    "hf_mtl, one task each": {},
    "hf_mtl": {},
    "hf_mtl, mixed batches": {"batching": "mixed"},
}
BATCH_SIZE = 32

PAIR = ("sentence1", "sentence2")
TASKS = {
    "sst2": Task("sst2", ("text",), "label"),
    "trec": Task("trec", ("text",), "coarse"),
    "wnut17": Task("wnut17", ("tokens",), "ner_tags", "token-classification"),
    "mrpc": Task("mrpc", PAIR, "label"),
    "stsb": Task("stsb", PAIR, "score", "regression"),
    "mit_restaurant": Task("mit_restaurant", ("tokens",), "ner_tags", "token-classification"),
}


def settings(options: argparse.Namespace, rows: int) -> dict[str, Any]:
    """Return the training arguments that both sides get."""
    steps = round(options.epochs * -(-rows // BATCH_SIZE) * options.share)
    return {
        "output_dir": options.work,
        "per_device_train_batch_size": BATCH_SIZE,
        "per_device_eval_batch_size": 64,
        "learning_rate": 1e-4,
        "max_steps": max(steps, WARM_UP + 2),
        "use_cpu": options.cpu,
        "save_strategy": "no",
        "logging_steps": 50,
        "disable_tqdm": True,
        **CONTESTANTS[options.contestant],
    }


def stock(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Train one task with an unmodified ``Trainer``."""
    side = StockRun(TASKS[name], Path(options.data), options.encoder)
    trainer, clock = side.train(options.seed, settings(options, side.rows))
    steps, seconds = clock.timed()
    epoch = -(-side.rows // BATCH_SIZE)
    result = {"epoch_steps": epoch, "seconds_a_step": seconds / steps, "losses": curve(trainer, "loss")}
    if options.evaluate:
        result["value"] = side.test(trainer)[TASKS[name].metric]
    return result


def ours(options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """Train one model for some tasks."""
    tasks, datasets = [], {}
    for name in names:
        task = TASKS[name]
        data = load_folder(Path(options.data) / task.folder)
        tasks.append(task_config(name, task, data))
        columns = {**task.renamed, task.target: name}
        datasets[name] = data.select_columns(list(columns)).rename_columns(columns)
    set_seed(options.seed)
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    clock = Clock()
    rows = sum(len(data["train"]) for data in datasets.values())
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(**settings(options, rows), seed=options.seed, max_length=256),
        {name: data["train"] for name, data in datasets.items()},
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
        callbacks=[clock],
    )
    trainer.train()
    steps, seconds = clock.timed()
    result = {
        "epoch_steps": -(-rows // BATCH_SIZE),
        "seconds_a_step": seconds / steps,
        "losses": {name: curve(trainer, f"loss/{name}") for name in names},
    }
    if options.evaluate:
        found = trainer.evaluate({name: data["test"] for name, data in datasets.items()}, metric_key_prefix="test")
        result["values"] = {name: found[f"test_{name}_{TASKS[name].metric}"] for name in names}
    return result


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train the contestant that the options name; return its results by task, or under "all"."""
    if options.contestant.startswith("stock"):
        return {name: stock(options, name) for name in options.tasks}
    if options.contestant.endswith("each"):
        return {name: ours(options, [name]) for name in options.tasks}
    return {"all": ours(options, options.tasks)}
