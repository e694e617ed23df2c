"""Legal tags and the CRF head: what they change in entity F1, how many texts they mend, and what they cost.

Trains a plain and a CRF tagger on each of three datasets and decodes the test split of each twice, with and without
the rules of its tagging scheme, from the same logits. Times are those of the process, so that a busy machine does not
change them much.

    python benchmarks/constrained_decoding.py --encoder ENCODER --data DATA
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated import inputs
from real_data import Task, load_folder, task_config
from reporting import parse, report
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl.inference import as_row, make_collator
from hf_mtl.metrics import Seqeval
from hf_mtl_light.tags import LegalTags

#: Dataset -> the column of its tags.
DATASETS = {"wnut17": "ner_tags", "mit_restaurant": "ner_tags", "snips": "slot_tags"}
TYPES = ("token-classification", "crf-tagging")
BATCH_SIZE = 64


def train(options: argparse.Namespace, name: str, task_type: str) -> dict[str, Any]:
    """Train one tagger and decode its test split in both ways; return the figures."""
    data, column = load_folder(Path(options.data) / name), DATASETS[name]
    task = task_config("tags", Task(name, ("tokens",), column, task_type), data)
    set_seed(options.seed)
    model = MultiTaskModel.from_encoder(options.encoder, [task])
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(
            options.work,
            max_steps=options.steps,
            per_device_train_batch_size=32,
            learning_rate=1e-4,
            seed=options.seed,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            max_length=256,
        ),
        {name: data["train"].select_columns(["tokens", column]).rename_column(column, "tags")},
        processing_class=tokenizer,
    )
    started = time.process_time()
    trainer.train()
    step = (time.process_time() - started) / options.steps
    names = getattr(getattr(data["test"].features[column], "feature", None), "names", None)
    gold = [[names[t] if names else t for t in tags] for tags in data["test"][column]]
    return {"step": step, **decode(model, tokenizer, list(data["test"]["tokens"]), gold)}


def decode(model: MultiTaskModel, tokenizer: Any, tokens: list[list[str]], gold: list[list[str]]) -> dict[str, Any]:
    """Return F1, illegal texts and the decoding's part of the time, without the rules and with them."""
    collator, head = make_collator(model, tokenizer, 256), model.task_heads["tags"]
    task = model.config.task("tags")
    model.eval()
    encoding, decoding = 0.0, {False: 0.0, True: 0.0}
    found: dict[bool, list[list[str]]] = {False: [], True: []}
    for first in range(0, len(tokens), BATCH_SIZE):
        started = time.process_time()
        rows = [as_row({"tokens": row}, first + i, "test") for i, row in enumerate(tokens[first : first + BATCH_SIZE])]
        batch, words = collator.encode(rows)
        with torch.inference_mode():
            logits = model(**batch).logits["tags"]
            encoding += time.process_time() - started
            for constrained in (False, True):
                model.replace_task(dataclasses.replace(task, options={"constrained_decoding": constrained}))
                started = time.process_time()
                found[constrained] += head.predictions(logits, words)
                decoding[constrained] += time.process_time() - started
    legal = LegalTags.of(task.labels, type(head).scheme(task))
    assert legal is not None
    ids = {label: i for i, label in enumerate(task.labels)}
    lengths = np.array([len(row) for row in tokens])
    result: dict[str, Any] = {"texts": len(tokens)}
    for constrained, rows in found.items():
        flat = np.array([ids[tag] for row in rows for tag in row])
        result[f"f1_{constrained}"] = Seqeval().compute(predictions=rows, references=gold)["f1"]
        result[f"illegal_{constrained}"] = int(legal.broken_by(flat, lengths).sum())
        result[f"share_{constrained}"] = decoding[constrained] / (encoding + decoding[constrained])
    return result


def main() -> None:
    """Train, decode and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100, help="of 32 rows, for each training")
    parser.add_argument("--datasets", nargs="*", choices=DATASETS, default=list(DATASETS))
    options = parser.parse_args()
    with inputs(parser, options) as options.work:
        if options.quick:
            options.steps = 3
        rows, facts = [], {}
        for name in options.datasets:
            for task_type in TYPES:
                figures = facts[f"{name}, {task_type}"] = train(options, name, task_type)
                illegal = f"{figures['illegal_False']} -> {figures['illegal_True']} of {figures['texts']}"
                shares = f"{figures['share_False']:.1%} -> {figures['share_True']:.1%}"
                scores = [f"{figures['f1_False']:.4f}", f"{figures['f1_True']:.4f}"]
                rows.append([name, task_type, *scores, illegal, shares, f"{1000 * figures['step']:.0f}"])
    head = ["dataset", "type", "F1 without rules", "F1 with rules", "illegal texts", "decoding's share of a batch"]
    title = f"Legal tags, {options.steps} steps of 32 rows, seed {options.seed}"
    report(title, [*head, "CPU ms a training step"], rows, facts)


if __name__ == "__main__":
    main()
