"""How much of a training step goes into making its batch: sampling, reading, tokenising, against the model's step.

Batches and steps are timed in turn in one process, so that a busy machine slows both. Prints Markdown.

    python benchmarks/loader.py --encoder ENCODER --data DATA
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from interference import load
from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel
from hf_mtl.data import TaskBatchSampler, TaskColumns, TaskMixture
from hf_mtl.inference import make_collator
from hf_mtl.samplers import ProportionalSampler


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Return what a function returns and its milliseconds."""
    start = time.perf_counter()
    result = function(*args)
    return result, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Time both batchings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--batches", type=int, default=30)
    options = parser.parse_args()
    tasks, datasets = load(Path(options.data), {})
    model = MultiTaskModel.from_encoder(options.encoder, tasks).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    collator = make_collator(model, AutoTokenizer.from_pretrained(options.encoder), 256)
    heads = {name: type(head) for name, head in model.task_heads.items()}
    parts = [TaskColumns(name, part["train"], tasks, heads) for name, part in datasets.items()]

    def step(batch: dict[str, Any]) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    print("| batching | sample | read | tokenise and pad | step | loader's share | real tokens |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for batching in ("mixed", "homogeneous"):
        sampler = TaskBatchSampler([len(part) for part in parts], ProportionalSampler(), 32, 1, batching)
        mixture = TaskMixture(parts, sampler)
        rows, real = [], []
        for number in range(options.batches + 3):
            indices, sampling = timed(sampler.batch, 0, number)
            read, reading = timed(mixture.__getitems__, indices)
            batch, collating = timed(collator, read)
            _, stepping = timed(step, batch)
            if number >= 3:  # the first ones warm up
                rows.append((sampling, reading, collating, stepping))
                real.append(float(batch["attention_mask"].float().mean()))
        sampling, reading, collating, stepping = (statistics.median(column) for column in zip(*rows, strict=True))
        loading = sampling + reading + collating
        print(
            f"| {batching} | {sampling:.1f} ms | {reading:.1f} ms | {collating:.1f} ms | {stepping:.0f} ms "
            f"| {loading / (loading + stepping):.1%} | {statistics.mean(real):.0%} |"
        )


if __name__ == "__main__":
    main()
