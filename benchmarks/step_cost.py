"""What a way to train costs: time of a step and peak memory of each contestant, against the first.

Every contestant trains the same mixed batches of four tasks on generated rows, in a fresh process, in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from contestants import BATCH_SIZE, Clock
from datasets import Dataset
from generated import INTENTS, TAGS, save_encoder, sentences
from reporting import fresh, in_turn, peak_megabytes, report
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

__all__ = ["ProcessorClock", "compare_costs", "step_milliseconds", "step_trainer"]

TASKS = [
    TaskConfig("intent", "sequence-classification", labels=INTENTS),
    TaskConfig("slots", "token-classification", labels=TAGS),
    TaskConfig("mood", "sentiment", labels=["negative", "positive"]),
    TaskConfig("length", "regression"),
]


def rows(count: int) -> dict[str, Dataset]:
    """Return three datasets that label the four tasks."""
    words = sentences(3 * count, seed=1)
    first, second, third = words[:count], words[count : 2 * count], words[2 * count :]
    tags = [[TAGS[1] if int(word[4:]) < 50 else TAGS[0] for word in row] for row in first]
    return {
        "talks": Dataset.from_dict({"tokens": first, "intent": [INTENTS[len(r) % 4] for r in first], "slots": tags}),
        "films": Dataset.from_dict(
            {"text": [" ".join(r) for r in second], "mood": [("negative", "positive")[len(r) % 2] for r in second]}
        ),
        "texts": Dataset.from_dict({"text": [" ".join(r) for r in third], "length": [float(len(r)) for r in third]}),
    }


class ProcessorClock(Clock):
    """Notes the processor time after each step, which other programs disturb less."""

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.ends.append(time.process_time())


def step_trainer(options: argparse.Namespace, clock: Any, changes: Mapping[str, Any], **given: Any) -> MultiTaskTrainer:
    """Return the trainer of a contestant.

    Args:
        options: The benchmark's ``encoder``, ``work`` and ``steps``.
        clock: A callback with the time after each step in ``ends``, in seconds.
        changes: Training arguments; ``branch_layers`` is the number of layers in the branch of the tagging task.
        given: Arguments of the trainer.
    """
    set_seed(1)
    arguments = {"batching": "mixed", **changes}
    layers = arguments.pop("branch_layers", 0)
    tasks = [replace(task, branch="tagging") if layers and task.name == "slots" else task for task in TASKS]
    return MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, tasks, branches={"tagging": layers} if layers else None),
        MultiTaskTrainingArguments(
            options.work,
            per_device_train_batch_size=BATCH_SIZE // changes.get("gradient_accumulation_steps", 1),
            max_steps=options.steps,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            precision="float32",
            **arguments,
        ),
        rows(BATCH_SIZE * options.steps // 3 + 1),
        processing_class=AutoTokenizer.from_pretrained(options.encoder),
        callbacks=[clock],
        **given,
    )


def step_milliseconds(clock: Any) -> float:
    """Return the median over the steps after the first two, which warm up."""
    times = [1000 * (end - start) for start, end in zip(clock.ends, clock.ends[1:], strict=False)]
    return statistics.median(times[1:])


def _train(options: argparse.Namespace, changes: Mapping[str, Any], clock: Any) -> dict[str, float]:
    """Train one contestant; return its milliseconds a step and its peak memory."""
    step_trainer(options, clock, changes).train()
    return {"milliseconds": step_milliseconds(clock), "megabytes": peak_megabytes()}


def compare_costs(
    parser: argparse.ArgumentParser,
    script: str,
    title: str,
    columns: Sequence[str],
    contestants: Mapping[str, Mapping[str, Any]],
    quick: Sequence[str],
    clock: Any,
) -> None:
    """Run one contestant, or take turns and print the table.

    Args:
        parser: The benchmark's parser.
        script: Its file, which is started for each contestant.
        title: The table's title.
        columns: The heads of the first two columns: what contestants are, and what time is measured.
        contestants: Name -> arguments of the training. The first is what the others are compared with.
        quick: The contestants of ``--quick``.
        clock: A callback with the time after each step in ``ends``, in seconds.
    """
    parser.add_argument("--contestant", choices=contestants)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as options.work:
        if options.contestant:
            print(json.dumps(_train(options, contestants[options.contestant], clock)))
            return
        names = list(contestants)
        if options.quick:
            options.encoder, options.steps, options.rounds = save_encoder(Path(options.work)), 5, 1
            names = list(quick)
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--steps", options.steps]
        runs = in_turn({n: partial(fresh, script, "--contestant", n, *given) for n in names}, options.rounds)
    first = names[0]
    table, facts = [], {}
    for name, found in runs.items():
        times = [run["milliseconds"] for run in found]
        ratios = [mine / base["milliseconds"] for mine, base in zip(times, runs[first], strict=True)]
        memory = statistics.median(run["megabytes"] for run in found)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.append(
            [name, f"{statistics.median(times):.1f}", f"{statistics.median(ratios):.2f}", spread, f"{memory:.0f}"]
        )
        facts[name] = {"milliseconds": statistics.median(times), "megabytes": memory}
    head = [*columns, f"against {first}, median of rounds", "single rounds", "peak MB of the process"]
    report(title, head, table, facts)
