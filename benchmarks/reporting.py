"""What all benchmarks share: their options, fresh processes, taking turns, and how figures are printed."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

__all__ = ["fresh", "in_turn", "machine", "own_memory_peak", "parse", "peak_megabytes", "report", "run_missing"]


def parse(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark takes, so that one command line can start them all."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="generated data, a tiny encoder, less than a minute")
    parser.add_argument("--encoder", help="folder or Hub id of the encoder, where one of real size matters")
    parser.add_argument("--data", help="folder of the real datasets, where they matter")
    return parser


def machine() -> str:
    """Return what the figures depend on: processor, cores, threads and versions; nothing that names the machine."""
    import torch

    model = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    device = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "hf-mtl"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    return f"{cores} cores of {model}{device}, {torch.get_num_threads()} threads; Python {python}, {versions}"


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], facts: Mapping[str, Any]) -> None:
    """Print a Markdown table under a title and the machine, then everything as one JSON line.

    Args:
        title: What is measured.
        columns: The table's head; the first column is aligned left, the others right.
        rows: Cells, as they are to be read; numbers are rounded by the caller.
        facts: The numbers for programs, by name.
    """
    print(f"# {title}\n\n{machine()}\n")
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print(f"\n{json.dumps({'title': title, 'machine': machine(), **facts})}", flush=True)


def in_turn(contestants: Mapping[str, Callable[[], Any]], times: int) -> dict[str, list[Any]]:
    """Call each contestant once a round, so that a busy machine slows all of them; return their results by name.

    The order turns about from round to round: whoever comes second finds warm caches.
    """
    results: dict[str, list[Any]] = {name: [] for name in contestants}
    for number in range(times):
        names = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        for name in names:
            results[name].append(contestants[name]())
    return results


def fresh(script: str | Path, *arguments: Any) -> Any:
    """Run a script, or ``-c`` and code, in a new process and return the JSON of its last line.

    With ``--quick``, whose figures mean nothing, the process is forked from this one and need not import the libraries
    again; not where torch computes in several threads, which do not survive a fork.

    Raises:
        RuntimeError: If it fails; the message holds what it printed.
    """
    command = [sys.executable, *map(str, (script, *arguments))]
    if "--quick" in sys.argv and os.environ.get("OMP_NUM_THREADS") == "1" and script != "-c":
        code, out, err = _forked(command[1:])
    else:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    if code:
        raise RuntimeError(f"{' '.join(command)} failed with {code}:\n{out}{err}")
    return json.loads(out.splitlines()[-1])


def _forked(command: list[str]) -> tuple[int | None, str, str]:
    """Run a script with its arguments in a fork of this process; return its exit status and what it printed."""

    def main() -> None:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")

    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = multiprocessing.get_context("fork").Process(target=main)
        process.start()
        process.join()
        out.seek(0)
        err.seek(0)
        return process.exitcode, out.read(), err.read()


def peak_megabytes() -> float:
    """Return the most memory (MB of 10^6 bytes, resident) that this process has had since it started."""
    # Linux hands getrusage's value on from the process that started this one, however large that was.
    if (status := Path("/proc/self/status")).exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def run_missing(file: Path, runs: Mapping[tuple[Any, ...], Callable[[], dict[str, Any]]], keys: Sequence[str]) -> None:
    """Do the runs that a file of JSON lines does not hold yet, and append each as it is done.

    Args:
        file: The file; it need not be there.
        runs: For each run its values of ``keys``, and what does it and returns its row.
        keys: The fields of a row that name its run.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    done = {tuple(row[key] for key in keys) for row in map(json.loads, lines)}
    for name, run in runs.items():
        if name not in done:
            row = run()
            with file.open("a") as out:
                print(json.dumps(row), file=out)


@contextmanager
def own_memory_peak(interval: float = 0.01) -> Iterator[dict[str, float]]:
    """Watch the memory that this process itself has filled: without pages of files, which the system may take back.

    Args:
        interval: Seconds between two looks; the kernel keeps no maximum of this number.

    Yields:
        A dict whose ``"peak"`` grows, in MB of 10^6 bytes; empty where the system does not tell (not Linux).
    """
    status, found, done = Path("/proc/self/status"), dict[str, float](), Event()

    def look() -> None:
        line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
        found["peak"] = max(found.get("peak", 0.0), int(line.split()[1]) * 1024 / 1e6)

    def watch() -> None:
        while not done.wait(interval):
            look()

    if not status.exists():
        yield found
        return
    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        look()
