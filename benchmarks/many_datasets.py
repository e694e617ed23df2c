"""What a thousand datasets cost against one with the same rows: time of a training step, start and a checkpoint.

Both train one task on the same rows in steps of the same lengths, in fresh processes, in turn.

    python benchmarks/many_datasets.py --encoder ENCODER
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from contestants import BATCH_SIZE, Clock
from datasets import ClassLabel, Dataset
from generated import save_encoder
from reporting import fresh, in_turn, parse, peak_megabytes, report
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

TOKENS = 32


def make_rows(rows: int) -> Dataset:
    """Return texts of one length, so that a step's rows do not decide its time."""
    texts = [" ".join(str((row * 7 + i * 3) % 10) for i in range(TOKENS - 2)) for row in range(rows)]
    data = Dataset.from_dict({"text": texts, "label": [row % 2 for row in range(rows)]})
    return data.cast_column("label", ClassLabel(names=["even", "odd"]))


def train(options: argparse.Namespace) -> dict[str, float]:
    """Train on so many datasets; return milliseconds a step and a log, seconds to start and to save, and MB."""
    rows = make_rows(options.rows)
    size = options.rows // options.datasets
    parts = {f"part{n:04}": rows.select(range(n * size, (n + 1) * size)) for n in range(options.datasets)}
    clock = Clock()
    arguments = MultiTaskTrainingArguments(
        options.work,
        per_device_train_batch_size=BATCH_SIZE,
        use_cpu=True,
        precision="float32",
        save_strategy="no",
        max_steps=options.steps,
        logging_steps=max(options.steps // 2, 1),
        disable_tqdm=True,
        batching=options.batching,
    )
    set_seed(1)
    start = time.perf_counter()
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(
            options.encoder, [TaskConfig("label", "sequence-classification", labels=["even", "odd"])]
        ),
        arguments,
        parts,
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
        callbacks=[clock],
    )
    ready = time.perf_counter() - start
    trainer.train()
    start = time.perf_counter()
    trainer._save_checkpoint(trainer.model, trial=None)
    saving = time.perf_counter() - start
    steps = [1000 * (end - begin) for begin, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {
        "step_ms": statistics.median(steps[2:]),
        "ready_seconds": ready,
        "checkpoint_seconds": saving,
        "megabytes": peak_megabytes(),
    }


def main() -> None:
    """Run one contestant, or take turns and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--datasets", type=int, help="run one contestant and print JSON")
    parser.add_argument("--batching", default="homogeneous")
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.datasets:
            print(json.dumps(train(options)))
            return
        many = 1000
        if options.quick:
            options.encoder, options.steps, options.rounds = save_encoder(Path(options.work) / "encoder"), 8, 1
            many, options.rows = 20, 640
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--rows", options.rows, "--steps", options.steps]
        starts: dict[str, Any] = {
            f"{batching}, {count:,}": partial(fresh, __file__, *given, "--batching", batching, "--datasets", count)
            for batching in ("homogeneous", "mixed")
            for count in (1, many)
        }
        runs = in_turn(starts, options.rounds)
    cells, facts = [], {}
    for name, found in runs.items():
        base = runs[f"{name.partition(',')[0]}, 1"]
        ratios = [mine["step_ms"] / one["step_ms"] for mine, one in zip(found, base, strict=True)]
        median = {key: statistics.median(run[key] for run in found) for key in found[0]}
        facts[name] = {**median, "against_one": statistics.median(ratios)}
        cells.append(
            [
                name,
                f"{median['step_ms']:.1f} ms",
                f"{statistics.median(ratios):.3f}",
                f"{min(ratios):.3f} to {max(ratios):.3f}",
                f"{median['ready_seconds']:.2f} s",
                f"{median['checkpoint_seconds']:.2f} s",
                f"{median['megabytes']:.0f} MB",
            ]
        )
    columns = ["batching, datasets", "a step", "against one", "single rounds", "ready", "a checkpoint", "peak memory"]
    report(f"{many:,} datasets against one with the same {options.rows:,} rows", columns, cells, facts)


if __name__ == "__main__":
    main()
