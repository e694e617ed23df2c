"""Both sides of the training benchmark: six real tasks, a stock ``Trainer`` for each, and one model for all."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from scipy.stats import pearsonr
from seqeval.metrics import f1_score
from stock_baseline import label_names, load_folder
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

CONTESTANTS = {
    "stock": {},
    "stock, bf16 and by length": {"bf16": True, "train_sampling_strategy": "group_by_length"},
    "hf_mtl, one task each": {},
    "hf_mtl": {},
    "hf_mtl, mixed batches": {"batching": "mixed"},
}
BATCH_SIZE = 32
#: Steps of each training that are not timed.
WARM_UP = 3


@dataclass(frozen=True)
class Task:
    """A folder of data as a task: its columns, its kind and its metric."""

    inputs: tuple[str, ...]
    target: str
    kind: str
    metric: str


TASKS = {
    "sst2": Task(("text",), "label", "sequence-classification", "accuracy"),
    "trec": Task(("text",), "coarse", "sequence-classification", "accuracy"),
    "wnut17": Task(("tokens",), "ner_tags", "token-classification", "f1"),
    "mrpc": Task(("sentence1", "sentence2"), "label", "sequence-classification", "accuracy"),
    "stsb": Task(("sentence1", "sentence2"), "score", "regression", "pearson"),
    "mit_restaurant": Task(("tokens",), "ner_tags", "token-classification", "f1"),
}


class Clock(TrainerCallback):
    """Notes when each step ended, from the end of the last warm-up step on."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def timed(self) -> tuple[int, float]:
        """Return the steps timed and their seconds."""
        ends = self.ends[WARM_UP - 1 :]
        return len(ends) - 1, ends[-1] - ends[0]


def read(options: argparse.Namespace, name: str) -> tuple[DatasetDict, list[str] | None]:
    """Return a task's splits and its labels."""
    task, data = TASKS[name], load_folder(Path(options.data) / name)
    if task.kind == "regression":
        return data, None
    return data, label_names(list(data["train"][task.target]), data["train"].features[task.target])


def settings(options: argparse.Namespace, rows: int) -> dict[str, Any]:
    """Return the training arguments that both sides get."""
    steps = round(options.epochs * -(-rows // BATCH_SIZE) * options.share)
    return {
        "output_dir": options.work,
        "per_device_train_batch_size": BATCH_SIZE,
        "per_device_eval_batch_size": 64,
        "learning_rate": 1e-4,
        "max_steps": max(steps, WARM_UP + 2),
        "seed": options.seed,
        "use_cpu": options.cpu,
        "save_strategy": "no",
        "logging_steps": 50,
        "disable_tqdm": True,
        **CONTESTANTS[options.contestant],
    }


def stock(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Train one task with an unmodified ``Trainer``; the texts are tokenised beforehand, outside of the time."""
    task, (data, labels) = TASKS[name], read(options, name)
    tagging = task.kind == "token-classification"
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)

    def encode(batch: dict[str, list[Any]]) -> Any:
        encoded = tokenizer(
            *(batch[column] for column in task.inputs), is_split_into_words=tagging, truncation=True, max_length=256
        )
        ids = {label: i for i, label in enumerate(labels or ())}
        target = [[ids.get(y, y) for y in row] if tagging else ids.get(row, row) for row in batch[task.target]]
        if tagging:
            aligned = []
            for row, tags in enumerate(target):
                words = encoded.word_ids(row)
                before = [None, *words[:-1]]
                aligned.append([-100 if w is None or w == b else tags[w] for w, b in zip(words, before, strict=True)])
            target = aligned
        return {**encoded, "labels": target}

    columns = data["train"].column_names
    encoded = DatasetDict(
        {split: part.map(encode, batched=True, remove_columns=columns) for split, part in data.items()}
    )
    set_seed(options.seed)
    auto = AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification
    model = auto.from_pretrained(options.encoder, num_labels=len(labels) if labels else 1)
    collator = DataCollatorForTokenClassification(tokenizer) if tagging else DataCollatorWithPadding(tokenizer)
    clock = Clock()
    trainer = Trainer(
        model,
        TrainingArguments(**settings(options, len(data["train"]))),
        collator,
        encoded["train"],
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    steps, seconds = clock.timed()
    epoch = -(-len(data["train"]) // BATCH_SIZE)
    result = {"epoch_steps": epoch, "seconds_a_step": seconds / steps, "losses": curve(trainer, "loss")}
    if options.evaluate:
        output = trainer.predict(encoded["test"])
        result["value"] = score(task, output.predictions, output.label_ids, labels)
    return result


def score(task: Task, predictions: Any, gold: Any, labels: list[str] | None) -> float:
    """Return a stock model's test metric."""
    if task.kind == "regression":
        return float(pearsonr(predictions[:, 0], gold)[0])
    best = predictions.argmax(-1)
    if task.kind == "sequence-classification":
        return float((best == gold).mean())
    names = np.array(labels)
    guesses = [names[p[g != -100]].tolist() for p, g in zip(best, gold, strict=True)]
    return float(f1_score([names[g[g != -100]].tolist() for g in gold], guesses))


def ours(options: argparse.Namespace, names: list[str]) -> dict[str, Any]:
    """Train one model for some tasks."""
    tasks, datasets = [], {}
    for name in names:
        task, (data, labels) = TASKS[name], read(options, name)
        tasks.append(TaskConfig(name, task.kind, labels=labels))
        wanted = dict(zip(task.inputs, ("text", "text_pair"), strict=False)) if "tokens" not in task.inputs else {}
        data = data.select_columns([*task.inputs, task.target]).rename_columns({**wanted, task.target: name})
        datasets[name] = data
    set_seed(options.seed)
    model = MultiTaskModel.from_encoder(options.encoder, tasks)
    clock = Clock()
    rows = sum(len(data["train"]) for data in datasets.values())
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(**settings(options, rows), max_length=256),
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


def curve(trainer: Trainer, key: str) -> list[tuple[float, float]]:
    """Return (part of the training, loss) from the log."""
    end = trainer.state.max_steps
    return [(round(log["step"] / end, 4), log[key]) for log in trainer.state.log_history if key in log]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train the contestant that the options name; return its results by task, or under "all"."""
    if options.contestant.startswith("stock"):
        return {name: stock(options, name) for name in options.tasks}
    if options.contestant.endswith("each"):
        return {name: ours(options, [name]) for name in options.tasks}
    return {"all": ours(options, options.tasks)}
