"""What training methods cost: processor time of a step and peak memory of each.

Every contestant trains the same batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/training_methods.py --encoder ENCODER
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

from balancing_cost import TASKS, rows
from contestants import BATCH_SIZE
from generated import save_encoder
from reporting import fresh, in_turn, parse, peak_megabytes, report
from transformers import AutoTokenizer, TrainerCallback, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments

#: Name -> methods. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "r-drop": {"r-drop": {}},
    "fgm": {"fgm": {}},
    "pgd, 3 steps": {"pgd": {"steps": 3}},
    "freelb, 3 points": {"freelb": {"steps": 3}},
    "smart, 1 step": {"smart": {}},
    "task-adversary": {"task-adversary": {"tasks": ["mood"]}},
}


class ProcessorClock(TrainerCallback):
    """Notes the processor time after each step, which other programs disturb less."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note it."""
        self.ends.append(time.process_time())


def train(options: argparse.Namespace) -> dict[str, float]:
    """Train one contestant; return its milliseconds a step and its peak memory."""
    clock = ProcessorClock()
    set_seed(1)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, TASKS),
        MultiTaskTrainingArguments(
            options.work,
            per_device_train_batch_size=BATCH_SIZE,
            batching="mixed",
            max_steps=options.steps,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            precision="float32",
            methods=CONTESTANTS[options.contestant],
        ),
        rows(BATCH_SIZE * options.steps // 3 + 1),
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
        callbacks=[clock],
    )
    trainer.train()
    times = [1000 * (end - start) for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return {"milliseconds": statistics.median(times[1:]), "megabytes": peak_megabytes()}


def main() -> None:
    """Run one contestant, or take turns and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.contestant:
            print(json.dumps(train(options)))
            return
        names = list(CONTESTANTS)
        if options.quick:
            options.encoder, options.steps, options.rounds = save_encoder(Path(options.work)), 5, 1
            names = ["plain", "smart, 1 step"]
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--steps", options.steps]
        runs = in_turn({n: partial(fresh, __file__, "--contestant", n, *given) for n in names}, options.rounds)
    table, facts = [], {}
    for name, found in runs.items():
        times = [run["milliseconds"] for run in found]
        ratios = [mine / base["milliseconds"] for mine, base in zip(times, runs["plain"], strict=True)]
        memory = statistics.median(run["megabytes"] for run in found)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.append(
            [name, f"{statistics.median(times):.1f}", f"{statistics.median(ratios):.2f}", spread, f"{memory:.0f}"]
        )
        facts[name] = {"milliseconds": statistics.median(times), "megabytes": memory}
    head = [
        "methods",
        "processor ms a step",
        "against plain, median of rounds",
        "single rounds",
        "peak MB of the process",
    ]
    report("What training methods cost: four tasks in mixed batches", head, table, facts)


if __name__ == "__main__":
    main()
