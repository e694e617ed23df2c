"""What balancing costs: time of a step and peak memory of each method, and of comparing gradients.

Every contestant trains the same mixed batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/balancing_cost.py --encoder ENCODER
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from contestants import BATCH_SIZE, Clock
from datasets import Dataset
from generated import INTENTS, TAGS, save_encoder, sentences
from reporting import fresh, in_turn, parse, peak_megabytes, report
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

#: Name -> arguments. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "uncertainty": {"balancing": "uncertainty"},
    "dwa": {"balancing": "dwa"},
    "geometric": {"balancing": "geometric"},
    "geometric, 2 micro-batches": {"balancing": "geometric", "gradient_accumulation_steps": 2},
    "famo": {"balancing": "famo"},
    "gradient: mean": {"balancing": "gradient", "balancing_options": {"aggregator": "mean"}},
    "gradient: upgrad": {"balancing": "gradient", "balancing_options": {"aggregator": "upgrad"}},
    "gradient: pcgrad": {"balancing": "gradient", "balancing_options": {"aggregator": "pcgrad"}},
    "gradient: graddrop": {"balancing": "gradient", "balancing_options": {"aggregator": "graddrop"}},
    "fixed, gradients compared every step": {"gradient_cosine_steps": 1},
}
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


def train(options: argparse.Namespace) -> dict[str, float]:
    """Train one contestant; return its milliseconds a step and its peak memory."""
    changes = CONTESTANTS[options.contestant]
    clock = Clock()
    set_seed(1)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(options.encoder, TASKS),
        MultiTaskTrainingArguments(
            options.work,
            per_device_train_batch_size=BATCH_SIZE // changes.get("gradient_accumulation_steps", 1),
            batching="mixed",
            max_steps=options.steps,
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
            precision="float32",
            **changes,
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
            names = ["fixed", "famo", "gradient: upgrad"]
        if not options.encoder:
            parser.error("--encoder is needed, or --quick")
        given = ["--encoder", options.encoder, "--steps", options.steps]
        runs = in_turn({n: partial(fresh, __file__, "--contestant", n, *given) for n in names}, options.rounds)
    table, facts = [], {}
    for name, found in runs.items():
        times = [run["milliseconds"] for run in found]
        ratios = [mine / base["milliseconds"] for mine, base in zip(times, runs["fixed"], strict=True)]
        memory = statistics.median(run["megabytes"] for run in found)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.append(
            [name, f"{statistics.median(times):.1f}", f"{statistics.median(ratios):.2f}", spread, f"{memory:.0f}"]
        )
        facts[name] = {"milliseconds": statistics.median(times), "megabytes": memory}
    head = ["balancing", "ms a step", "against fixed, median of rounds", "single rounds", "peak MB of the process"]
    report("What balancing costs: four tasks in mixed batches", head, table, facts)


if __name__ == "__main__":
    main()
