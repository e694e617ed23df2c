"""Object detection on real pictures: COCO's metrics with a frozen and a trained encoder, beside a stock detector.

Three sides take the same encoder, pictures, size, batch and seed, and bfloat16:

- ``frozen``: hf_mtl, whose head alone learns;
- ``trained``: hf_mtl, whose ``--layers`` top layers learn, too;
- ``stock``: Transformers' RF-DETR, whose backbone is a DINOv2, with the encoder's weights, under an unmodified
  ``Trainer`` for as many seconds of the processor as ``trained`` took, or ``--seconds``. It gets 100 queries and one
  group of them, which is several times as fast as its defaults.

The first two mirror pictures with their boxes, left and right and up and down, and so does the third. The encoder is
that of ``image_encoder.py``; the pictures are blood cells, 640 x 480 pixels.

    python benchmarks/detection.py --encoder dinov2-small --data DATA --sides frozen trained stock
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value, load_dataset
from generated import random_pictures, save_image_encoder
from reporting import parse, report
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    BitImageProcessorPil,
    RfDetrConfig,
    RfDetrForObjectDetection,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.metrics import CocoDetection

FOLDER = "blood_cells"
MIRRORED = {"horizontal-flip": {}, "vertical-flip": {}}
#: What the same weights are called in a checkpoint of DINOv2 and in RF-DETR's backbone.
RENAMED = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}


def image_processor(options: argparse.Namespace) -> BitImageProcessorPil:
    """Return what makes pixels of whole pictures, for all sides."""
    mean_and_std = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    height, width = options.size
    return BitImageProcessorPil(do_center_crop=False, size={"height": height, "width": width}, **mean_and_std)


def training_arguments(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Return the arguments that all sides get."""
    return {
        "output_dir": folder,
        "num_train_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "per_device_train_batch_size": 4,
        "warmup_steps": 20,
        "bf16": True,
        "seed": options.seed,
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "report_to": "none",
        "use_cpu": not torch.cuda.is_available(),
    }


def label_names(data: Dataset) -> list[str]:
    """Return the names of the objects."""
    names: list[str] = data.features["cells"]["category"].feature.names
    return names


def ours(options: argparse.Namespace, data: DatasetDict, folder: str, frozen: bool) -> dict[str, float]:
    """Train and test a model of one task, with a frozen encoder or with its top layers."""
    task_options = {"strides": [1], "channels": 128}
    task = TaskConfig("cells", "object-detection", labels=label_names(data["train"]), options=task_options)
    set_seed(options.seed)
    model = MultiTaskModel.from_encoder(options.encoder, [task])
    below = max(model.encoders["image"].config.num_hidden_layers - options.layers, 0)
    what = {"freeze_encoder": True} if frozen else {"frozen_layers": below}
    given = {**training_arguments(options, folder), "head_learning_rate": options.head_learning_rate, **what}
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(**given, augmentation=MIRRORED),
        {FOLDER: data["train"]},
        image_processor=image_processor(options),
    )
    began = time.process_time()
    trainer.train()
    seconds = time.process_time() - began
    found = trainer.evaluate({FOLDER: data["test"]})
    scores = {name: found[f"eval_cells_{name}"] for name in CocoDetection.summary_keys}
    return {**scores, "seconds": seconds, "steps": trainer.state.global_step}


def stock_detector(options: argparse.Namespace, labels: int) -> RfDetrForObjectDetection:
    """Return RF-DETR on the encoder's weights.

    Raises:
        SystemExit: If a weight of its backbone is missing.
    """
    encoder = AutoConfig.from_pretrained(options.encoder)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size", "mlp_ratio")
    depth = encoder.num_hidden_layers
    stages = sorted({max(1, depth * part // 4) for part in range(1, 5)})
    backbone = {
        **{name: getattr(encoder, name) for name in sizes},
        "model_type": "rf_detr_dinov2",
        "num_windows": 1,
        "window_block_indexes": [],
        "out_features": [f"stage{stage}" for stage in stages],
    }
    places = (options.size[0] // encoder.patch_size) * (options.size[1] // encoder.patch_size)
    config = RfDetrConfig(backbone_config=backbone, num_labels=labels, num_queries=min(100, places), group_detr=1)
    model = RfDetrForObjectDetection(config)
    given = load_file(Path(options.encoder) / "model.safetensors")
    for old, new in RENAMED.items():
        given = {name.replace(old, new): value for name, value in given.items()}
    report_of_keys = model.model.backbone.backbone.load_state_dict(given, strict=False)
    missing = [name for name in report_of_keys.missing_keys if not name.startswith("layernorm")]
    if missing:
        raise SystemExit(f"The encoder lacks weights of the backbone: {missing[:5]}")
    return model


class UntilSeconds(TrainerCallback):
    """Ends a training after so many seconds of the processor."""

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End it."""
        control.should_training_stop = time.process_time() >= self.end


class StockCollator:
    """Makes pixels and targets of rows as RF-DETR takes them, mirrored at random if they are to train."""

    def __init__(self, options: argparse.Namespace, trains: bool) -> None:
        self.processor, self.rng = image_processor(options), np.random.default_rng(options.seed)
        self.trains = trains

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch."""
        pictures = [np.asarray(row["image"].convert("RGB")) for row in rows]
        labels = []
        for number, row in enumerate(rows):
            height, width = pictures[number].shape[:2]
            boxes = np.array(row["cells"]["bbox"], dtype=np.float64).reshape(-1, 4)
            boxes = np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]]) / (width, height, width, height)
            for axis in (0, 1):
                if self.trains and self.rng.random() < 0.5:
                    boxes[:, axis] = 1 - boxes[:, axis]
                    pictures[number] = np.flip(pictures[number], 1 - axis)
            kept = (boxes[:, 2:] > 0).all(1)
            kinds = np.array(row["cells"]["category"], dtype=np.int64)[kept]
            labels.append({"class_labels": torch.from_numpy(kinds), "boxes": torch.from_numpy(boxes[kept]).float()})
        pixels = self.processor([np.ascontiguousarray(p) for p in pictures], return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "labels": labels}


def stock(options: argparse.Namespace, data: DatasetDict, folder: str, seconds: float) -> dict[str, float]:
    """Train and test RF-DETR for so many seconds of the processor."""
    set_seed(options.seed)
    model = stock_detector(options, len(label_names(data["train"])))
    given = {**training_arguments(options, folder), "num_train_epochs": 1000, "max_grad_norm": 0.1}
    arguments = TrainingArguments(**given, remove_unused_columns=False, lr_scheduler_type="constant_with_warmup")
    collate = StockCollator(options, trains=True)
    until = UntilSeconds(seconds)
    trainer = Trainer(model, arguments, collate, data["train"], callbacks=[until])
    began = time.process_time()
    trainer.train()
    seconds = time.process_time() - began
    model.eval()
    metric, tested = CocoDetection(), StockCollator(options, trains=False)
    for start in range(0, len(data["test"]), 8):
        rows = [data["test"][i] for i in range(start, min(start + 8, len(data["test"])))]
        with torch.inference_mode():
            output = model(pixel_values=tested(rows)["pixel_values"].to(model.device))
        triples = zip(output.logits, output.pred_boxes, (row["image"].size for row in rows), strict=True)
        predicted = [_found(*triple) for triple in triples]
        metric.add_batch(predictions=predicted, references=[_true(row) for row in rows])
    scores = metric.compute()
    summary = {name: scores[name] for name in metric.summary_keys}
    return {**summary, "seconds": seconds, "steps": trainer.state.global_step}


def _found(logits: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> dict[str, Any]:
    """Return the 100 best boxes of a picture, as RF-DETR's own post-processing chooses them."""
    scores, places = logits.float().sigmoid().flatten().topk(min(100, logits.numel()))
    chosen = boxes.float()[places // logits.shape[-1]].cpu().numpy()
    corners = np.column_stack([chosen[:, :2] - chosen[:, 2:] / 2, chosen[:, :2] + chosen[:, 2:] / 2]) * (*size, *size)
    return {"boxes": corners, "scores": scores.tolist(), "labels": (places % logits.shape[-1]).tolist()}


def _true(row: dict[str, Any]) -> dict[str, Any]:
    boxes = np.array(row["cells"]["bbox"], dtype=np.float64).reshape(-1, 4)
    kept = (boxes[:, 2:] > 0).all(1)
    corners = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    return {"boxes": corners[kept], "labels": np.array(row["cells"]["category"])[kept].tolist()}


def random_objects(count: int, seed: int) -> Dataset:
    """Return random pictures with two boxes each, of two kinds."""
    rows = random_pictures(count, seed)
    generator = np.random.default_rng(seed)
    objects = []
    for row in rows:
        width, height = row["image"].size
        corners = generator.uniform(0, 0.5, (2, 2)) * (width, height)
        objects.append({"bbox": np.column_stack([corners, corners * 0 + (width / 3, height / 3)]), "category": [0, 1]})
    kind = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=["a", "b"]))}
    columns = {"image": [row["image"] for row in rows], "cells": objects}
    return Dataset.from_dict(columns, features=Features({"image": Image(), "cells": kind}))


@contextmanager
def inputs(options: argparse.Namespace) -> Iterator[tuple[DatasetDict, str]]:
    """Yield the pictures and a folder to write into; with ``--quick`` random ones and a tiny encoder."""
    with tempfile.TemporaryDirectory() as folder:
        if not options.quick:
            files = {split: str(Path(options.data) / FOLDER / f"{split}.parquet") for split in ("train", "test")}
            data = load_dataset("parquet", data_files=files).select_columns(["image", "objects"])
            yield data.rename_column("objects", "cells"), folder
            return
        options.encoder, options.epochs, options.size, options.layers = f"{folder}/encoder", 1, [28, 28], 1
        save_image_encoder(Path(options.encoder), 28)
        yield DatasetDict(train=random_objects(8, 0), test=random_objects(4, 1)), folder


def main() -> None:
    """Train the sides and print their table."""
    parser = parse(__doc__)
    parser.add_argument("--sides", nargs="*", default=["frozen", "trained", "stock"])
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--size", type=int, nargs=2, default=[238, 322], help="height and width in pixels")
    parser.add_argument("--layers", type=int, default=4, help="top layers that learn")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--head-learning-rate", type=float, default=1e-3)
    parser.add_argument("--seconds", type=float, help="seconds of the processor that stock gets")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with inputs(options) as (data, folder):
        for side in options.sides:
            if side == "stock":
                seconds = options.seconds or found.get("trained", {}).get("seconds", 1.0)
                found[side] = stock(options, data, f"{folder}/{side}", seconds)
            else:
                found[side] = ours(options, data, f"{folder}/{side}", frozen=side == "frozen")
            print(side, found[side], flush=True)
    columns = ["side", *CocoDetection.summary_keys, "steps", "seconds of a core"]
    rows = [
        [
            side,
            *(f"{run[name]:.3f}" for name in CocoDetection.summary_keys),
            *(f"{run[k]:.0f}" for k in ("steps", "seconds")),
        ]
        for side, run in found.items()
    ]
    height, width = options.size
    title = f"Object detection: {FOLDER}, {height} x {width} pixels, {options.epochs:g} epochs, seed {options.seed}"
    report(title, columns, rows, {"sides": found})


if __name__ == "__main__":
    main()
