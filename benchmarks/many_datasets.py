"""What a thousand datasets cost against one with the same rows: time of a training step, start and a checkpoint.

Both train one task on the same rows in steps of the same lengths. For the time of a step both trainings run in one
process and take turns step by step, so that a busy machine slows both alike: each step's ratio to the other's step
beside it is taken. A turn is all from the end of a step to the end of the next: log, batch, pass, optimizer. Start,
checkpoint and memory are those of fresh processes.

    python benchmarks/many_datasets.py --encoder ENCODER
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np
from contestants import BATCH_SIZE
from datasets import ClassLabel, Dataset
from generated import save_encoder
from reporting import fresh, parse, peak_megabytes, report
from transformers import AutoTokenizer, TrainerCallback, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

TOKENS = 32


def make_rows(rows: int) -> Dataset:
    """Return texts of one length, so that a step's rows do not decide its time."""
    texts = [" ".join(str((row * 7 + i * 3) % 10) for i in range(TOKENS - 2)) for row in range(rows)]
    data = Dataset.from_dict({"text": texts, "label": [row % 2 for row in range(rows)]})
    return data.cast_column("label", ClassLabel(names=["even", "odd"]))


def make_trainer(options: argparse.Namespace, count: int, *callbacks: TrainerCallback) -> MultiTaskTrainer:
    """Return a trainer on the rows, cut into so many datasets."""
    rows = make_rows(options.rows)
    size = options.rows // count
    parts = {f"part{n:04}": rows.select(range(n * size, (n + 1) * size)) for n in range(count)}
    arguments = MultiTaskTrainingArguments(
        options.work,
        per_device_train_batch_size=BATCH_SIZE,
        use_cpu=True,
        save_strategy="no",
        max_steps=options.steps,
        logging_steps=max(options.steps // 4, 1),
        disable_tqdm=True,
        batching=options.batching,
    )
    set_seed(1)
    task = TaskConfig("label", "sequence-classification", labels=["even", "odd"])
    return MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, [task]),
        arguments,
        parts,
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
        callbacks=list(callbacks),
    )


class Turns(TrainerCallback):
    """Lets trainings in threads of one process run a step each in turn.

    Args:
        turn: Whose turn it is, shared by all.
        changed: What guards it.
        number: This training's number.
        count: How many trainings there are.
    """

    def __init__(self, turn: list[int], changed: Condition, number: int, count: int) -> None:
        self.turn, self.changed, self.number, self.count = turn, changed, number, count
        self.milliseconds: list[float] = []
        self.start = 0.0

    def wait(self) -> None:
        """Wait for this training's turn."""
        with self.changed:
            self.changed.wait_for(lambda: self.turn[0] == self.number)
        self.start = time.perf_counter()

    def hand_over(self) -> None:
        """Note how long the turn took, and let the next training run."""
        self.milliseconds.append(1000 * (time.perf_counter() - self.start))
        with self.changed:
            self.turn[0] = (self.number + 1) % self.count
            self.changed.notify_all()

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Wait for the first turn."""
        self.wait()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """End a turn and wait for the next."""
        self.hand_over()
        self.wait()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Leave the machine to the others."""
        self.hand_over()


def alternate(options: argparse.Namespace, counts: list[int]) -> list[list[float]]:
    """Train on so many datasets each, step by step in turn; return the milliseconds of each one's steps."""
    turn, changed = [0], Condition()
    turns = [Turns(turn, changed, number, len(counts)) for number in range(len(counts))]
    trainers = [make_trainer(options, count, mine) for count, mine in zip(counts, turns, strict=True)]
    threads = [Thread(target=trainer.train) for trainer in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The first steps warm up; the last turn is the training's end.
    return [mine.milliseconds[3 : options.steps] for mine in turns]


def start_and_save(options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds to start and to save a checkpoint, and the peak of memory."""
    start = time.perf_counter()
    trainer = make_trainer(options, options.datasets)
    ready = time.perf_counter() - start
    trainer.train()
    start = time.perf_counter()
    trainer._save_checkpoint(trainer.model, trial=None)
    saving = time.perf_counter() - start
    return {"ready_seconds": ready, "checkpoint_seconds": saving, "megabytes": peak_megabytes()}


def main() -> None:
    """Run one contestant, or all, and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--datasets", type=int, help="start, train and save on so many and print JSON")
    parser.add_argument("--alternate", type=int, nargs="+", help="train on so many each, in turn, and print JSON")
    parser.add_argument("--batching", default="homogeneous")
    parser.add_argument("--rows", type=int, default=32_000)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.datasets:
            print(json.dumps(start_and_save(options)))
            return
        if options.alternate:
            print(json.dumps(alternate(options, options.alternate)))
            return
        many = 1000
        if options.quick:
            options.encoder, options.steps = save_encoder(Path(options.work) / "encoder"), 8
            many, options.rows = 20, 640
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--rows", options.rows]
        cells, facts = [], {}
        for batching in ("homogeneous", "mixed"):
            mine = [*given, "--batching", batching]
            steps = fresh(__file__, *mine, "--steps", options.steps, "--alternate", 1, many)
            ratios = np.array(steps[1]) / np.array(steps[0])
            low, ratio, high = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
            facts[batching] = {"ratio": ratio, "quartiles": [low, high], "step_ms": [*map(statistics.median, steps)]}
            for count, times in zip((1, many), steps, strict=True):
                found = fresh(__file__, *mine, "--steps", 4, "--datasets", count)
                facts[f"{batching}, {count:,}"] = found
                cells.append(
                    [
                        f"{batching}, {count:,}",
                        f"{statistics.median(times):.1f} ms",
                        "" if count == 1 else f"{ratio:.3f} ({low:.3f} to {high:.3f})",
                        f"{found['ready_seconds']:.2f} s",
                        f"{found['checkpoint_seconds']:.2f} s",
                        f"{found['megabytes']:.0f} MB",
                    ]
                )
    columns = ["batching, datasets", "a step", "against one (quartiles)", "ready", "a checkpoint", "peak memory"]
    report(f"{many:,} datasets against one with the same {options.rows:,} rows", columns, cells, facts)


if __name__ == "__main__":
    sys.exit(main())
