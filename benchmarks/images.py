"""Image classification on real pictures, beside the stock model under ``Trainer``: accuracy, and the time of a step.

Both sides take the same encoder, pictures, image processor, steps, rate, batch and seed, and bfloat16. The encoder is
that of ``image_encoder.py``; it has positions for 518 pixels and interpolates them for others.

    python benchmarks/images.py --encoder dinov2-small --data DATA --seeds 1 2
    python benchmarks/images.py --encoder dinov2-small --data DATA --seeds 1 --time 6    # steps alone, in six rounds
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from datasets import DatasetDict, load_dataset
from generated import random_pictures, save_image_encoder
from reporting import in_turn, parse, report
from step_cost import ProcessorClock
from transformers import (
    AutoModelForImageClassification,
    BitImageProcessorPil,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

FOLDER = "sign_digits"


def image_processor(size: int) -> BitImageProcessorPil:
    """Return what makes pixels of pictures for both sides."""
    mean_and_std = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return BitImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, **mean_and_std)


def training_arguments(options: argparse.Namespace, folder: str, seed: int) -> dict[str, Any]:
    """Return the arguments that both sides get."""
    return {
        "output_dir": folder,
        "num_train_epochs": options.epochs,
        "max_steps": options.steps if options.time else -1,
        "learning_rate": options.learning_rate,
        "per_device_train_batch_size": 32,
        "per_device_eval_batch_size": 64,
        "bf16": True,
        "seed": seed,
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": not torch.cuda.is_available(),
    }


def measured(clock: ProcessorClock, accuracy: float) -> dict[str, Any]:
    """Return a side's accuracy, and the processor's milliseconds of each step after the first three."""
    ends = clock.ends[2:]
    return {"accuracy": accuracy, "steps": [1000 * (b - a) for a, b in pairwise(ends)]}


def stock(options: argparse.Namespace, data: DatasetDict, seed: int, folder: str) -> dict[str, Any]:
    """Train and test ``AutoModelForImageClassification``."""
    processor, names = image_processor(options.size), data["train"].features["label"].names

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        pictures = [row["image"].convert("RGB") for row in rows]
        return {**processor(pictures, return_tensors="pt"), "labels": torch.tensor([row["label"] for row in rows])}

    set_seed(seed)
    model = AutoModelForImageClassification.from_pretrained(options.encoder, num_labels=len(names))
    arguments = {**training_arguments(options, folder, seed), "remove_unused_columns": False}
    clock = ProcessorClock()
    trainer = Trainer(model, TrainingArguments(**arguments), collate, data["train"], data["test"], callbacks=[clock])
    trainer.train()
    if options.time:
        return measured(clock, float("nan"))
    found = trainer.predict(data["test"])
    return measured(clock, float((found.predictions.argmax(-1) == found.label_ids).mean()))


def ours(options: argparse.Namespace, data: DatasetDict, seed: int, folder: str) -> dict[str, Any]:
    """Train and test a model of one task of pictures."""
    task = TaskConfig("digit", "image-classification", labels=data["train"].features["label"].names)
    renamed = data.rename_column("label", "digit")
    set_seed(seed)
    model = MultiTaskModel.from_encoder(options.encoder, [task])
    rates = {"head_learning_rate": options.learning_rate}
    clock = ProcessorClock()
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(**training_arguments(options, folder, seed), **rates),
        {FOLDER: renamed["train"]},
        image_processor=image_processor(options.size),
        callbacks=[clock],
    )
    trainer.train()
    if options.time:
        return measured(clock, float("nan"))
    return measured(clock, trainer.evaluate({FOLDER: renamed["test"]})["eval_digit_accuracy"])


@contextmanager
def inputs(options: argparse.Namespace) -> Iterator[tuple[DatasetDict, str]]:
    """Yield the pictures and a folder to write into; with ``--quick`` random ones and a tiny encoder."""
    with tempfile.TemporaryDirectory() as folder:
        if not options.quick:
            files = {split: str(Path(options.data) / FOLDER / f"{split}.parquet") for split in ("train", "test")}
            yield load_dataset("parquet", data_files=files), folder
            return
        options.encoder, options.epochs, options.seeds, options.size = f"{folder}/encoder", 1, [1], 28
        save_image_encoder(Path(options.encoder), options.size)
        rows = random_pictures(160, seed=0)
        yield DatasetDict(train=rows, test=rows.select(range(32))), folder


def main() -> None:
    """Train both sides in turn, for each seed, and print their table."""
    parser = parse(__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--size", type=int, default=98, help="pixels of a picture's edge")
    parser.add_argument("--time", type=int, default=0, help="rounds: time steps in turn, and score nothing")
    parser.add_argument("--steps", type=int, default=15, help="steps of a side in a round")
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"stock": [], "hf_mtl": []}
    with inputs(options) as (data, folder):
        for seed in options.seeds:
            sides = {
                "stock": lambda seed=seed: stock(options, data, seed, f"{folder}/stock"),
                "hf_mtl": lambda seed=seed: ours(options, data, seed, f"{folder}/ours"),
            }
            for name, results in in_turn(sides, options.time or 1).items():
                found[name] += results
    steps = {name: [step for run in runs for step in run["steps"]] for name, runs in found.items()}
    times = {name: statistics.median(of_side) for name, of_side in steps.items() if of_side}
    rows = [
        [
            name,
            f"{100 * statistics.mean(run['accuracy'] for run in runs):.1f}",
            ", ".join(f"{100 * run['accuracy']:.1f}" for run in runs),
            f"{times[name]:.0f}" if name in times else "-",
            f"{times[name] / times['stock']:.3f}" if name in times else "-",
        ]
        for name, runs in found.items()
    ]
    title = f"Image classification: {FOLDER}, {options.size} pixels, {options.epochs} epochs"
    if options.time:
        rows = [[name, str(len(steps[name])), *rest] for name, _, _, *rest in rows]
        title = f"A step: {FOLDER}, {options.size} pixels, {options.time} rounds"
    head = ["steps"] if options.time else ["test accuracy", "single seeds"]
    report(title, ["side", *head, "processor ms a step", "of stock"], rows, {"sides": found})


if __name__ == "__main__":
    main()
