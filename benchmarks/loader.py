"""How much of a training step goes into making its batch: sampling, reading, tokenising, against the model's step.

Batches and steps are timed in turn in one process, so that a busy machine slows both.

    python benchmarks/loader.py --encoder ENCODER --data DATA
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from generated import inputs
from interference import load
from reporting import parse, report
from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel
from hf_mtl.data import DatasetMixture, LabelledDataset, MixtureBatchSampler
from hf_mtl.inference import make_collator
from hf_mtl.samplers import ProportionalSampler


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Return what a function returns and its milliseconds."""
    start = time.perf_counter()
    result = function(*args)
    return result, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Time both batchings."""
    parser = parse(__doc__)
    parser.add_argument("--batches", type=int, default=30)
    options = parser.parse_args()
    with inputs(parser, options):
        if options.quick:
            options.batches = 3
        measure(options.encoder, options.data, options.batches)


def measure(encoder: str, data: str, batches: int) -> None:
    """Time the parts of a step and print their medians."""
    tasks, datasets = load(Path(data), {})
    model = MultiTaskModel.from_encoder(encoder, tasks).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    collator = make_collator(model, AutoTokenizer.from_pretrained(encoder), 256)
    heads = {name: type(head) for name, head in model.task_heads.items()}
    parts = [LabelledDataset(name, part["train"], tasks, heads) for name, part in datasets.items()]

    def step(batch: dict[str, Any]) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    cells, facts = [], {}
    for batching in ("mixed", "homogeneous"):
        sampler = MixtureBatchSampler({part.name: len(part) for part in parts}, ProportionalSampler(), 32, 1, batching)
        mixture = DatasetMixture(parts, sampler)
        rows, real = [], []
        for number in range(batches + 3):
            indices, sampling = timed(sampler.batch, 0, number)
            read, reading = timed(mixture.__getitems__, indices)
            batch, collating = timed(collator, read)
            _, stepping = timed(step, batch)
            if number >= 3:  # the first ones warm up
                rows.append((sampling, reading, collating, stepping))
                real.append(float(batch["attention_mask"].float().mean()))
        sampling, reading, collating, stepping = (statistics.median(column) for column in zip(*rows, strict=True))
        loading = sampling + reading + collating
        share, tokens = loading / (loading + stepping), statistics.mean(real)
        cells.append(
            [
                batching,
                *(f"{value:.1f} ms" for value in (sampling, reading, collating)),
                f"{stepping:.0f} ms",
                f"{share:.1%}",
                f"{tokens:.0%}",
            ]
        )
        names = ("sample_ms", "read_ms", "collate_ms", "step_ms", "loader_share", "real_tokens")
        facts[batching] = dict(zip(names, (sampling, reading, collating, stepping, share, tokens), strict=True))
    columns = ["batching", "sample", "read", "tokenise and pad", "step", "loader's share", "real tokens"]
    report("The loader's share of a training step", columns, cells, facts)


if __name__ == "__main__":
    main()
