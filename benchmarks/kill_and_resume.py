"""Whether a training that is killed at random moments, and resumed each time, ends with the weights of an unbroken one.

Each run kills its process with SIGKILL: within a step, an evaluation, the saving of a checkpoint, or the final save.
Saving is slowed down, file by file, so that kills hit it. The number of loader workers changes from start to start.
Weights, optimizer state and best score are compared bit by bit. Exits with status 1 if any differs.

    python benchmarks/kill_and_resume.py --runs 20
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from reporting import parse, report

STEPS, EVERY = 30, 4  # steps of a training; steps between checkpoints. 23 steps are an epoch, so it ends within one.
#: How long after a phase has begun a kill may come, in seconds: about as long as the phase takes.
PHASES = {"step": 0.03, "evaluation": 0.1, "saving": 0.25, "final save": 0.1}


def train(folder: Path, workers: int, tell: Callable[[str], None]) -> None:
    """Train in this process, from the newest whole checkpoint if there is one, and tell every phase as it begins."""
    import torch
    from datasets import Dataset
    from generated import INTENTS, TAGS, random_pictures, sentences
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, TrainerCallback

    from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

    torch.set_num_threads(1)

    class Slow(MultiTaskTrainer):
        """Takes its time between the files of a checkpoint."""

        def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
            tell("saving" if self.is_in_train else "final save")
            super()._save(output_dir, state_dict)
            time.sleep(0.08)

        def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
            super()._save_optimizer_and_scheduler(output_dir)
            time.sleep(0.08)

        def _save_rng_state(self, output_dir: str) -> None:
            super()._save_rng_state(output_dir)
            time.sleep(0.08)

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            tell("evaluation")
            return super().evaluate(*args, **kwargs)

    class Steps(TrainerCallback):
        """Tells that a step begins."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            tell("step")

    def rows(count: int, seed: int) -> dict[str, Dataset]:
        words, texts = sentences(count, seed), sentences(count // 2, seed + 1)
        tags = [[TAGS[1] if int(word[4:]) < 50 else TAGS[0] for word in row] for row in words]
        intents = [INTENTS[int(row[0][4:]) % 4] for row in words]
        moods = [("negative", "positive")[int(row[0][4:]) % 2] for row in texts]
        return {
            "snips": Dataset.from_dict({"tokens": words, "intent": intents, "slots": tags}),
            "sst2": Dataset.from_dict({"text": [" ".join(row) for row in texts], "mood": moods}),
            "photos": random_pictures(count // 4, seed).rename_column("label", "hue"),
        }

    tasks = [
        TaskConfig("intent", "sequence-classification", labels=INTENTS),
        TaskConfig("slots", "token-classification", labels=TAGS),
        TaskConfig("mood", "sentiment", labels=["negative", "positive"]),
        TaskConfig("hue", "image-classification", labels=["0", "1"]),
    ]
    torch.manual_seed(0)
    places = {"text": folder.parent / "encoder", "image": folder.parent / "image_encoder"}
    encoders = {name: AutoModel.from_pretrained(place) for name, place in places.items()}
    args = MultiTaskTrainingArguments(
        str(folder), use_cpu=True, precision="float32", disable_tqdm=True, learning_rate=1e-3, max_steps=STEPS,
        per_device_train_batch_size=16, eval_strategy="steps", eval_steps=EVERY, save_steps=EVERY, save_total_limit=2,
        load_best_model_at_end=True, dataloader_num_workers=workers,
        # Workers from a fork server, this process's own way, would import all anew and outlive a killed parent.
        dataloader_multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    trainer = Slow(
        MultiTaskModel.from_encoder(encoders, tasks),
        args,
        rows(200, 1),
        rows(100, 9),
        AutoTokenizer.from_pretrained(folder.parent / "encoder"),
        callbacks=[Steps()],
        image_processor=AutoImageProcessor.from_pretrained(places["image"], backend="pil"),
    )
    trainer.train(resume_from_checkpoint=any(folder.glob("checkpoint-*")))
    trainer.save_model()
    tell("end")


def child(folder: Path, workers: int, phases: Connection) -> None:
    """Train, with what the training prints in a file and its phases in a pipe."""
    with (folder.parent / f"{folder.name}.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    train(folder, workers, phases.send)


def start(folder: Path, workers: int) -> tuple[Any, Connection]:
    """Start a training in a process of its own; return it and the pipe of its phases."""
    # Forked from a process that has imported all and done nothing: imports take longer than a training.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hf_mtl", "generated", "datasets", "transformers.trainer"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(folder, workers, sender))
    process.start()
    sender.close()
    return process, receiver


def finish(folder: Path, workers: int) -> None:
    """Train to the end."""
    process, _receiver = start(folder, workers)
    process.join()
    check(process, folder)


def check(process: Any, folder: Path) -> None:
    """Raise an error, with what the training said, if it failed by itself."""
    if process.exitcode > 0:
        raise RuntimeError(f"The training failed:\n{(folder.parent / f'{folder.name}.log').read_text()}")


def kill(folder: Path, workers: int, phase: str, chance: random.Random) -> str:
    """Train and kill within a phase; return the phase that it was in, "end" if it was over before."""
    process, receiver = start(folder, workers)
    # The final save comes once; of the others, one of the first few of this start is chosen.
    wait_for = 1 if phase == "final save" else chance.randint(1, {"step": 12, "evaluation": 3, "saving": 3}[phase])
    last = "start"
    # EOFError: the training was over, or has failed.
    with suppress(EOFError):
        while wait_for:
            last = receiver.recv()
            wait_for -= last == phase
        time.sleep(chance.uniform(0, PHASES[phase]))
    process.kill()
    process.join()
    check(process, folder)
    # Not until the pipe ends: loader workers hold it open until they see that their parent is gone.
    with suppress(EOFError):
        while receiver.poll():
            last = receiver.recv()
    return last


def state(folder: Path) -> dict[str, Any]:
    """Return all that an unbroken and a broken training must have in common at their ends."""
    import json

    import torch
    from safetensors.torch import load_file

    newest = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    told = json.loads((newest / "trainer_state.json").read_text())
    found: dict[str, Any] = {f"final/{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    found.update({f"last/{name}": value for name, value in load_file(newest / "model.safetensors").items()})
    optimizer = torch.load(newest / "optimizer.pt", weights_only=True)["state"]
    found.update({f"optimizer/{i}/{name}": value for i, part in optimizer.items() for name, value in part.items()})
    found.update({name: torch.tensor(told[name]) for name in ("global_step", "best_global_step", "best_metric")})
    return found


def differences(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """Return the names of what differs in any bit."""
    import torch

    same = [name for name in one if name in two and torch.equal(one[name], two[name])]
    return sorted({*one, *two} - {*same})


def main() -> int:
    """Compare broken trainings with an unbroken one."""
    parser = parse(__doc__)
    parser.add_argument("--runs", type=int, help="broken trainings (default: 20; quick: 2)")
    parser.add_argument("--seed", type=int, default=0, help="names the moments of the kills")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    runs = options.runs or (2 if options.quick else 20)
    kills_a_run = 2 if options.quick else 3
    chance = random.Random(options.seed)
    from generated import save_encoder, save_image_encoder

    rows, hit, different = [], Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        save_encoder(base / "encoder", hidden_size=64)
        save_image_encoder(base / "image_encoder")
        (base / "whole").mkdir()
        finish(base / "whole", 0)
        expected = state(base / "whole")
        phases = list(PHASES)
        for run in range(1, runs + 1):
            folder = base / f"run{run}"
            folder.mkdir()
            # All kinds come in turn; the final save can only be the last of a run.
            chosen = sorted((phases[(run + n) % len(phases)] for n in range(kills_a_run)), key="final save".__eq__)
            found = []
            for phase in chosen:
                before = newest_step(folder)
                reached = kill(folder, chance.choice([0, 1, 2]), phase, chance)
                left = "leaving unfinished files" if (folder / "_unfinished").exists() else ""
                found.append(f"{reached} (from {before}{', ' if left else ''}{left})")
                hit[reached] += 1
            finish(folder, chance.choice([0, 1, 2]))
            wrong = differences(expected, state(folder))
            different += bool(wrong)
            rows.append((run, ", ".join(found), "bit by bit" if not wrong else f"no: {len(wrong)} of {len(expected)}"))
            shutil.rmtree(folder)
    columns = ("run", "killed within (resumed from step)", "equal to the unbroken training")
    facts = {"runs": runs, "kills": dict(hit), "different": different}
    report("Trainings killed and resumed", columns, rows, facts)
    missed = [phase for phase in PHASES if not hit[phase]]
    if missed and not options.quick:
        print(f"No kill came within: {', '.join(missed)}. Another --seed may.", file=sys.stderr)
    return int(different > 0 or bool(missed and not options.quick))


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint; 0 if there is none."""
    return max((int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*")), default=0)


if __name__ == "__main__":
    sys.exit(main())
