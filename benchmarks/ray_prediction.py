"""Rows answered by two actors of Ray, killed in the middle and continued, against one process: is it the same file?

python benchmarks/ray_prediction.py
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
from prediction_memory import save_model
from reporting import parse, report

COLUMNS = ["engine", "seconds", "processor seconds", "rows a second", "the file of one process"]


def _write(file: Path, rows: int) -> None:
    """Write rows, one of which cannot be read."""
    from generated import sentences

    with open(file, "w", encoding="utf-8") as opened:
        for number, words in enumerate(sentences(rows, seed=0)):
            row = {"text": None if number == rows // 3 else " ".join(words), "id": number}
            opened.write(json.dumps(row) + "\n")


def _command(folder: Path, output: str, *more: str) -> list[str]:
    model, rows = str(folder / "model"), str(folder / "in.jsonl")
    return [
        *(sys.executable, "-m", "hf_mtl.cli", "predict", model, rows, "-o", str(folder / output / "answers.jsonl")),
        *("--on-error", "skip", *more),
    ]


def _run(command: list[str], stop: Callable[[], bool] = lambda: False) -> tuple[float, float]:
    """Run a command to its end, or kill it once ``stop`` holds.

    Returns:
        Its seconds, and the processor seconds of it and of all processes that it started.
    """
    spent: dict[int, float] = {}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        running = subprocess.Popen(command, stdout=printed, stderr=printed, start_new_session=True)
        tree = psutil.Process(running.pid)
        while running.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for process in (tree, *tree.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        spent[process.pid] = sum(process.cpu_times()[:2])
            if stop():
                running.kill()
            time.sleep(0.1)
        printed.seek(0)
        if running.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"{' '.join(command)} failed:\n{printed.read()}")
    return time.perf_counter() - started, sum(spent.values())


def main() -> None:
    """Measure, and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many; 4,000 with --quick")
    options = parser.parse_args()
    if find_spec("ray") is None:
        cells = ["not measured: Ray is not installed (pip install 'hf-mtl[ray]')", "", "", "", ""]
        report("Prediction by actors of Ray", COLUMNS, [cells], {})
        return
    count = 4_000 if options.quick else options.rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_model(folder)
        _write(folder / "in.jsonl", count)
        for output in ("one", "ray", "again"):
            (folder / output).mkdir()
        engine = ("--engine", "ray", "--actors", "2")
        runs = [_run(_command(folder, "one")), _run(_command(folder, "ray", *engine))]
        whole, again = (folder / "one" / "answers.jsonl").read_bytes(), folder / "again"

        def share() -> float:
            return sum(path.stat().st_size for path in again.glob(".answers.jsonl.partial")) / len(whole)

        _run(_command(folder, "again", *engine), stop=lambda: share() > 0.5)
        if (again / "answers.jsonl").exists():
            raise RuntimeError("The run was not killed before its end.")
        done = share()
        runs.append(_run(_command(folder, "again", *engine, "--resume")))
        same = [(folder / output / "answers.jsonl").read_bytes() == whole for output in ("ray", "again")]
    names = ["one process", "2 actors", f"2 actors, continued after a kill at {done:.0%}"]
    answered = [count, count, (1 - done) * count]
    words = ["", *("byte for byte" if equal else "NO" for equal in same)]
    rows = [
        [name, f"{seconds:.0f}", f"{spent:.0f}", f"{number / seconds:,.0f}", word]
        for name, (seconds, spent), number, word in zip(names, runs, answered, words, strict=True)
    ]
    report("Prediction by actors of Ray", COLUMNS, rows, {"rows": count, "runs": runs, "killed_at": done, "same": same})


if __name__ == "__main__":
    main()
