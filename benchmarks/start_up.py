"""What starting costs: importing the package, the first training step, and commands that need no model.

Processor seconds of a fresh process each (`time.process_time`, from its start on); sides take turns. Modules are
compiled in a round before, which is not counted. The first step is a batch of 32 made-up texts through a tiny encoder,
so that what is timed is start-up and not arithmetic.

    python benchmarks/start_up.py
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reporting import fresh, in_turn, parse, report

_STOCK = "import torch; from transformers import AutoModel, AutoTokenizer"
#: What is imported: by those who train, and by those who answer, ours and what it uses of other libraries.
IMPORTS = {
    "stock Trainer": f"{_STOCK}, Trainer, TrainingArguments",
    "what training uses": f"{_STOCK}, Trainer, TrainingArguments, pipeline; import datasets, evaluate",
    "hf_mtl, trainer and data": "from hf_mtl import MultiTaskModel, MultiTaskTrainer, infer_tasks",
    "what answering uses": f"{_STOCK}, pipeline",
    "import hf_mtl": "import hf_mtl",
}
#: Row of the table -> the two sides that it compares.
COMPARED = {
    "`import hf_mtl`, to answer": ("what answering uses", "import hf_mtl"),
    "the same, against what a training with stock imports": ("stock Trainer", "import hf_mtl"),
    "with trainer and data, to train": ("what training uses", "hf_mtl, trainer and data"),
}
TIMED = "import json, time; {}; print(json.dumps(time.process_time()))"

RECIPE = "recipe.yaml"
#: Commands, in a folder of `prepare`; a mistake is a value in place of the recipe's.
COMMANDS = {
    "`--help`": ["--help"],
    "`train --help`": ["train", "--help"],
    "`trian`": ["trian"],
    "a key of the recipe that does not exist": ["train", RECIPE, "datasets.one.laod=1"],
    "a sampler": ["train", RECIPE, "sampling.strategy=unifrom"],
    "a balancer": ["train", RECIPE, "balancing.method=dwe"],
    "a training method's option": ["train", RECIPE, "methods.r-drop.alhpa=1"],
    "an augmentation": ["train", RECIPE, "augmentation.word-mask.p=1"],
    "a task type": ["train", RECIPE, "tasks.mood.type=sentimant"],
    "a training argument": ["train", RECIPE, "training.learning_rat=1"],
    "a scheduler": ["train", RECIPE, "training.lr_scheduler_type=cosin"],
    "a data file that does not exist": ["train", RECIPE, "datasets.one.load.data_files=none.csv"],
    "an encoder's folder that does not exist": ["train", RECIPE, "encoder=./none"],
    "a run folder that holds a model": ["train", RECIPE, "training.output_dir=model"],
    "`evaluate` without such a model": ["evaluate", "./none", RECIPE],
    "`heads MODEL`": ["heads", "model"],
    "`report RUN`": ["report", "model", "-o", "-"],
    "a column that the data lack": ["train", RECIPE, "datasets.one.columns={text: text, lable: mood}"],
}
_COMMAND = """
import contextlib, io, json, sys, time
sys.argv[0] = "hf-mtl"
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    with contextlib.suppress(SystemExit):
        from hf_mtl.cli import main
        main()
print(json.dumps([time.process_time(), "torch" in sys.modules]))
"""


def prepare(folder: Path, encoder: str) -> None:
    """Write a recipe, its data, and the folder of a run of 1,000 steps, as commands read them."""
    from hf_mtl import MultiTaskModel, TaskConfig

    (folder / "rows.csv").write_text("text,label\ngood,a\nbad,b\n")
    (folder / RECIPE).write_text(
        f"encoder: {encoder}\n"
        "datasets: {one: {load: {path: csv, data_files: rows.csv}, columns: {text: text, label: mood}}}\n"
    )
    names = ("mood", "topic", "style", "tone")
    tasks = [TaskConfig(name, "sequence-classification", labels=["a", "b"]) for name in names]
    MultiTaskModel.from_encoder(encoder, tasks).save_pretrained(folder / "model")
    log: list[dict[str, Any]] = [
        {
            "step": step,
            "loss": 1 / step,
            "learning_rate": 1e-4 / step,
            **{f"loss/{name}": 1 / step for name in names},
            **{f"share/{name}": 0.25 for name in names},
            **({f"eval_{name}_accuracy": step / 1000 for name in names} if step % 100 == 0 else {}),
        }
        for step in range(10, 1001, 10)
    ]
    state = {"global_step": 1000, "max_steps": 1000, "log_history": log}
    (folder / "model" / "trainer_state.json").write_text(json.dumps(state))


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
    """Return the processor seconds of this process to the end of the first optimizer step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            Clock.seconds = time.process_time()
            control.should_save = False

    with tempfile.TemporaryDirectory() as output:
        trainer = (stock if side == "stock" else ours)(encoder, output)
        trainer.args.save_strategy = "no"
        trainer.add_callback(Clock)
        trainer.train()
    return Clock.seconds


def _cell(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _compared(title: str, theirs: Sequence[float], mine: Sequence[float]) -> list[str]:
    first, second = statistics.median(theirs), statistics.median(mine)
    return [title, _cell(theirs), _cell(mine), f"{second - first:+.2f} s", f"{second / first:.2f}"]


def timed_imports(times: int, is_quick: bool) -> dict[str, list[float]]:
    """Return the processor seconds of each import."""
    # To import all of it takes a process seconds of a core; the first steps do it, too.
    codes = dict.fromkeys(IMPORTS, "import json") if is_quick else IMPORTS
    return in_turn({name: lambda c=c: fresh("-c", TIMED.format(c)) for name, c in codes.items()}, times)


def timed_commands(times: int, commands: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[float, bool]]]:
    """Return for each command its processor seconds, and whether it imported torch."""
    return in_turn({name: lambda a=a: tuple(fresh("-c", _COMMAND, *a)) for name, a in commands.items()}, times)


def main() -> None:
    """Time imports, first steps and commands in turn."""
    parser = parse(__doc__)
    parser.add_argument("--first-step", nargs=2, metavar=("SIDE", "ENCODER"), help="train a step and print the seconds")
    options = parser.parse_args()
    if options.first_step:
        print(json.dumps(first_step(*options.first_step)))
        return
    times = 1 if options.quick else 3
    with tempfile.TemporaryDirectory() as folder:
        from generated import save_encoder

        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
        encoder = save_encoder(Path(folder) / "encoder")
        prepare(Path(folder), encoder)
        os.chdir(folder)
        commands = {"`--help`": COMMANDS["`--help`"]} if options.quick else COMMANDS
        steps_of = {
            side: lambda side=side: fresh(__file__, "--first-step", side, encoder) for side in ("stock", "ours")
        }
        if not options.quick:  # compiles
            timed_imports(1, is_quick=False)
            in_turn(steps_of, 1)
            timed_commands(1, commands)
        imports = timed_imports(times, options.quick)
        steps = in_turn(steps_of, times)
        answers = timed_commands(times, commands)
    cells = [_compared(title, imports[theirs], imports[mine]) for title, (theirs, mine) in COMPARED.items()]
    cells.append(_compared("to the end of the first step", steps["stock"], steps["ours"]))
    report(
        "Start-up",
        ["processor seconds", "other libraries", "hf_mtl", "difference", "ratio"],
        cells,
        {"import_seconds": imports, "first_step_seconds": steps},
    )
    rows = [
        [name, _cell([seconds for seconds, _ in found]), "yes" if any(has for _, has in found) else "no"]
        for name, found in answers.items()
    ]
    report("Commands", ["`hf-mtl ...`, or a mistake in", "processor seconds", "torch"], rows, {"commands": answers})


if __name__ == "__main__":
    sys.exit(main())
