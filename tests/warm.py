"""Processes that begin with the libraries imported: forked from one that has imported them once for all tests.

To import torch, Transformers, datasets and hf_mtl costs a process five seconds of a core, more than what most tests
then run in it. A test of what happens at import, or of variables that are read there, needs ``subprocess`` instead.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

__all__ = ["Script", "run", "run_together"]

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Script:
    """What ``python file *arguments`` does, but for the imports.

    Args:
        file: Run as ``__main__``.
        arguments: Its command line.
        output: The file to which it prints; errors go to ``<output>.errors`` beside it.
        cwd: Its working directory; None is this process's.
        environment: Variables besides those of this process.
    """

    file: Path
    arguments: Sequence[str]
    output: Path
    cwd: Path | None = None
    environment: Mapping[str, str] | None = None

    def start(self) -> BaseProcess:
        """Start it."""
        environment = {**os.environ, **(self.environment or {})}
        given = str(self.file), list(self.arguments), str(self.output), str(self.cwd or Path.cwd()), environment
        process = _context().Process(target=_main, args=given)
        process.start()
        return process

    def done(self, exitcode: int | None) -> subprocess.CompletedProcess[str]:
        """Return what it printed, once it has ended."""
        printed = [path.read_text() for path in (self.output, Path(f"{self.output}.errors"))]
        return subprocess.CompletedProcess([str(self.file), *self.arguments], exitcode, *printed)


def run(script: Script, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a script, as ``subprocess.run`` does with ``check=False``."""
    return run_together([script], seconds)[0]


def run_together(scripts: Sequence[Script], seconds: float = 600) -> list[subprocess.CompletedProcess[str]]:
    """Run scripts at the same time, until all have ended; where one fails, the others are killed.

    Raises:
        AssertionError: If they take longer than ``seconds``.
    """
    processes = [script.start() for script in scripts]
    end = time.monotonic() + seconds
    running = list(processes)
    while running and not any(process.exitcode for process in processes) and time.monotonic() < end:
        connection.wait([process.sentinel for process in running], end - time.monotonic())
        running = [process for process in running if process.exitcode is None]
    for process in running:
        process.kill()
        process.join()
    done = [script.done(process.exitcode) for script, process in zip(scripts, processes, strict=True)]
    in_time = time.monotonic() < end
    assert in_time, "\n".join([f"still running after {seconds} seconds", *(one.stderr for one in done)])
    return done


@functools.cache
def _context() -> ForkServerContext:
    """Return a context whose server has imported the libraries; it begins to do so on the first call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.warm_imports"])
    # One thread: forks must not inherit locks that another thread holds.
    with patch.dict(os.environ, PYTHONPATH=str(_ROOT), OMP_NUM_THREADS="1"):
        forkserver.ensure_running()
    return context


def _main(file: str, arguments: list[str], output: str, cwd: str, environment: dict[str, str]) -> None:
    for place, descriptor in ((output, 1), (f"{output}.errors", 2)):
        with open(place, "wb") as opened:
            os.dup2(opened.fileno(), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [file, *arguments]
    sys.path.insert(0, str(Path(file).parent))
    runpy.run_path(file, run_name="__main__")
