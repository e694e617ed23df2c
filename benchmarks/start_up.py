"""How long until something happens: importing the package, and the first training step, against stock Transformers.

Every figure is of a fresh process; both sides take turns. The first step is a batch of 32 made-up texts through a tiny
encoder, so that what is timed is start-up and not arithmetic.

    python benchmarks/start_up.py
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reporting import fresh, in_turn, parse, report

IMPORTS = {
    "stock": "import torch; from transformers import AutoModel, AutoTokenizer, Trainer, TrainingArguments",
    "hf_mtl": "import hf_mtl",
}
#: The clock starts before the first import.
TIMED = "import time, json; start = time.perf_counter(); {}; print(json.dumps(time.perf_counter() - start))"


def rows() -> Any:
    """Return 320 made-up texts with one of four labels."""
    from datasets import Dataset
    from generated import INTENTS, sentences

    words = sentences(320, seed=0)
    texts = {"text": [" ".join(row) for row in words], "intent": [INTENTS[len(row) % 4] for row in words]}
    return Dataset.from_dict(texts)


def stock(encoder: str, output: str) -> Any:
    """Return the stock trainer of one text classifier."""
    from generated import INTENTS
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    data = rows().map(
        lambda batch: {**tokenizer(batch["text"]), "labels": [INTENTS.index(label) for label in batch["intent"]]},
        batched=True,
        remove_columns=["text", "intent"],
    )
    arguments = TrainingArguments(output, max_steps=1, per_device_train_batch_size=32, use_cpu=True, disable_tqdm=True)
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=4)
    return Trainer(model, arguments, DataCollatorWithPadding(tokenizer), data)


def ours(encoder: str, output: str) -> Any:
    """Return the multi-task trainer of the same task."""
    from generated import INTENTS
    from transformers import AutoTokenizer

    from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

    model = MultiTaskModel.from_encoder(encoder, [TaskConfig("intent", "sequence-classification", labels=INTENTS)])
    arguments = MultiTaskTrainingArguments(
        output, max_steps=1, per_device_train_batch_size=32, use_cpu=True, disable_tqdm=True, precision="float32"
    )
    return MultiTaskTrainer(
        model, arguments, {"requests": rows()}, processing_class=AutoTokenizer.from_pretrained(encoder)
    )


def first_step(side: str, encoder: str) -> float:
    """Return the seconds from here to the end of the first optimizer step."""
    start = time.perf_counter()
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            Clock.seconds = time.perf_counter() - start
            control.should_save = False

    with tempfile.TemporaryDirectory() as output:
        trainer = (stock if side == "stock" else ours)(encoder, output)
        trainer.args.save_strategy = "no"
        trainer.add_callback(Clock)
        trainer.train()
    return Clock.seconds


def main() -> None:
    """Time imports and first steps in turn."""
    parser = parse(__doc__)
    parser.add_argument("--first-step", nargs=2, metavar=("SIDE", "ENCODER"), help="train a step and print the seconds")
    options = parser.parse_args()
    if options.first_step:
        print(json.dumps(first_step(*options.first_step)))
        return
    times = 1 if options.quick else 5
    # To import all of it takes a process seconds of a core; the first steps do it, too.
    codes = dict.fromkeys(IMPORTS, "import json") if options.quick else IMPORTS
    imports = in_turn({name: lambda c=c: fresh("-c", TIMED.format(c)) for name, c in codes.items()}, times)
    with tempfile.TemporaryDirectory() as folder:
        from generated import save_encoder

        encoder = save_encoder(Path(folder))
        sides = {side: lambda side=side: fresh(__file__, "--first-step", side, encoder) for side in IMPORTS}
        steps = in_turn(sides, times)
    cells = []
    for title, found in (("importing", imports), ("to the end of the first step", steps)):
        middle = {side: statistics.median(values) for side, values in found.items()}
        spread = {side: f"{min(values):.1f} to {max(values):.1f}" for side, values in found.items()}
        cells.append(
            [
                title,
                *(f"{middle[side]:.2f} s ({spread[side]})" for side in IMPORTS),
                f"{middle['hf_mtl'] - middle['stock']:+.2f} s",
                f"{middle['hf_mtl'] / middle['stock']:.2f}",
            ]
        )
    facts = {"import_seconds": imports, "first_step_seconds": steps}
    report("Start-up", ["", "stock Trainer", "hf_mtl", "difference", "ratio"], cells, facts)


if __name__ == "__main__":
    sys.exit(main())
