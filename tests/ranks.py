"""Code that runs in several processes at once, which talk through gloo: data-parallel training on a CPU."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch

from hf_mtl import MultiTaskTrainingArguments
from tests.warm import Script, run_together

__all__ = ["arguments", "launch_on_ranks", "rank_and_folder", "run_on_ranks", "save"]


def run_on_ranks(ranks: int, code: str, folder: Path, allowed: str = "", seconds: int = 240) -> list[Any]:
    """Run code in ``ranks`` processes and return what each gave to `save`.

    Args:
        ranks: Number of processes; 1 is a training that is not distributed.
        code: A script, whose argument is ``folder``.
        folder: Where its files go.
        allowed: A part of the one warning of distributed training that may come.
        seconds: How long it may take.

    Raises:
        AssertionError: If a process fails, hangs, or distributed training warns.
    """
    file = folder / "on_ranks.py"
    file.write_text(code)
    shared = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    shared.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=_free_port())
    each = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)] if ranks > 1 else [{}]
    scripts = [
        Script(file, [str(folder)], folder / f"rank{rank}.txt", environment={"OMP_NUM_THREADS": "1", **own})
        for rank, own in enumerate(each)
    ]
    finished = run_together(scripts, seconds)
    failed = [done.stderr for done in finished if done.returncode]
    assert not failed, "\n".join(failed)
    for done in finished:
        warned = [line for line in done.stderr.splitlines() if "reducer.cpp" in line or "nn/parallel" in line]
        assert [line for line in warned if not allowed or allowed not in line] == []
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(ranks)]


def launch_on_ranks(ranks: int, code: str, folder: Path, seconds: int = 240) -> list[Any]:
    """Do what `run_on_ranks` does by ``accelerate launch``, whose ranks are forked: it sets their variables itself.

    Raises:
        AssertionError: If a process fails or hangs.
    """
    (folder / "on_ranks.py").write_text(code)
    (folder / "launch.py").write_text("from accelerate.commands.launch import main\nmain()\n")
    # Without --multi_gpu accelerate starts several processes on CPUs by MPI only. The rest are its defaults.
    command = f"--multi_gpu --num_processes {ranks} --num_machines 1 --mixed_precision no --dynamo_backend no"
    arguments = [*command.split(), "--main_process_port", _free_port(), str(folder / "on_ranks.py"), str(folder)]
    # torchrun's options, which accelerate has not: run the script in forks, where all is imported.
    environment = {"OMP_NUM_THREADS": "1", "PET_RUN_PATH": "1", "PET_START_METHOD": "fork"}
    [done] = run_together(
        [Script(folder / "launch.py", arguments, folder / "launch.txt", environment=environment)], seconds
    )
    assert not done.returncode, done.stderr
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(ranks)]


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def rank_and_folder() -> tuple[int, Path]:
    """Return this process's number and the folder of its files."""
    return int(os.environ.get("RANK", "0")), Path(sys.argv[1])


def save(rank: int, folder: Path, value: Any) -> None:
    """Hand a value, of tensors, numbers, lists and dicts, to who called `run_on_ranks`."""
    torch.save(value, folder / f"rank{rank}.pt")


def arguments(folder: Path, **kwargs: Any) -> MultiTaskTrainingArguments:
    """Return arguments of a short training on a CPU that saves nothing."""
    kwargs = {"use_cpu": True, "precision": "float32", "disable_tqdm": True, "save_strategy": "no", **kwargs}
    return MultiTaskTrainingArguments(str(folder / "out"), **kwargs)
