"""Code that runs in several processes at once, which talk through gloo: data-parallel training on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from hf_mtl import MultiTaskTrainingArguments

__all__ = ["arguments", "rank_and_folder", "run_on_ranks", "save"]

_ROOT = Path(__file__).parent.parent


def run_on_ranks(ranks: int, code: str, folder: Path, allowed: str = "", seconds: int = 240) -> list[Any]:
    """Run code in ``ranks`` processes and return what each gave to `save`.

    Args:
        ranks: Number of processes.
        code: A script, whose argument is ``folder``.
        folder: Where its files go.
        allowed: A part of the one warning of distributed training that may come.
        seconds: How long it may take.

    Raises:
        AssertionError: If a process fails, hangs, or distributed training warns.
    """
    script = folder / "on_ranks.py"
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    command += [str(script), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "reducer.cpp" in line or "nn/parallel" in line]
    assert [line for line in told if not allowed or allowed not in line] == []
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(ranks)]


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
