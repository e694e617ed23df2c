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

import numpy as np
import torch
from datasets import DatasetDict, load_dataset
from generated import inputs
from reporting import parse
from seqeval.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

# task name -> (folder, input column, label column, kind)
TASKS: dict[str, tuple[str, str, str, str]] = {
    "ner": ("wnut17", "tokens", "ner_tags", "tagging"),
    "question_type": ("trec", "text", "coarse", "classification"),
    "sentiment": ("sst2", "text", "label", "classification"),
    "intent": ("snips", "tokens", "intent", "classification"),
    "slots": ("snips", "tokens", "slot_tags", "tagging"),
}


def load_folder(folder: Path) -> DatasetDict:
    """Load the three splits of one data folder, Parquet or gzipped JSON Lines."""
    suffix, loader = (".parquet", "parquet") if (folder / "train.parquet").exists() else (".jsonl.gz", "json")
    files = {split: str(folder / f"{split}{suffix}") for split in ("train", "validation", "test")}
    return load_dataset(loader, data_files=files)


def label_names(column: list[Any], feature: Any) -> list[str]:
    """Return the label names: the feature's own, or the sorted strings of the training split."""
    feature = getattr(feature, "feature", feature)
    if getattr(feature, "names", None):
        return list(feature.names)
    flat = {label for row in column for label in (row if isinstance(row, list) else [row])}
    return sorted(flat)


def encode(batch: dict[str, list[Any]], tokenizer: Any, task: tuple[str, str, str, str], ids: dict[Any, int]) -> Any:
    """Tokenise a batch and align its labels as Transformers' own scripts do (first sub-word only)."""
    _, source, target, kind = task
    encoded = tokenizer(batch[source], is_split_into_words=source == "tokens", truncation=True, max_length=256)
    if kind == "classification":
        encoded["labels"] = [ids[label] for label in batch[target]]
        return encoded
    rows = []
    for row, tags in enumerate(batch[target]):
        previous, labels = None, []
        for word in encoded.word_ids(row):
            labels.append(-100 if word is None or word == previous else ids[tags[word]])
            previous = word
        rows.append(labels)
    encoded["labels"] = rows
    return encoded


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and test one task; return its result row."""
    task = TASKS[name]
    data = load_folder(Path(options.data) / task[0])
    names = label_names(list(data["train"][task[2]]), data["train"].features[task[2]])
    integer = getattr(data["train"].features[task[2]], "feature", data["train"].features[task[2]]).dtype == "int64"
    ids: dict[Any, int] = {(i if integer else label): i for i, label in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    set_seed(options.seed)
    auto = AutoModelForTokenClassification if task[3] == "tagging" else AutoModelForSequenceClassification
    model = auto.from_pretrained(options.encoder, num_labels=len(names))
    encoded = data.map(
        encode,
        batched=True,
        remove_columns=data["train"].column_names,
        fn_kwargs={"tokenizer": tokenizer, "task": task, "ids": ids},
    )
    tagging = task[3] == "tagging"
    collator = DataCollatorForTokenClassification(tokenizer) if tagging else DataCollatorWithPadding(tokenizer)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=options.work,
            num_train_epochs=options.epochs,
            learning_rate=options.learning_rate,
            per_device_train_batch_size=options.batch_size,
            per_device_eval_batch_size=64,
            seed=options.seed,
            bf16=options.bf16,
            use_cpu=not torch.cuda.is_available(),
            save_strategy="no",
            logging_steps=100,
            disable_tqdm=True,
        ),
        train_dataset=encoded["train"],
        data_collator=collator,
        processing_class=tokenizer,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    output = trainer.predict(encoded["test"])
    predicted, gold = np.argmax(output.predictions, -1), output.label_ids
    if tagging:
        tags = [[names[i] for i in row[row != -100]] for row in gold]
        guesses = [[names[i] for i in p[g != -100]] for p, g in zip(predicted, gold, strict=True)]
        metric, value = "f1", float(f1_score(tags, guesses))
    else:
        metric, value = "accuracy", float((predicted == gold).mean())
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
