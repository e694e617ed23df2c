"""Several trainings of a recipe, each in its own folder, kept through a kill and shared out among processes."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import datasets
from joblib import Parallel, delayed, parallel_config
from transformers import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from hf_mtl.data import content_hashes
from hf_mtl.recipe import BuiltRecipe, PreparedRecipe
from hf_mtl.trainer import SummaryCallback
from hf_mtl.validation._progress import RunsBar
from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import lock_file, open_beside, write_text_whole

__all__ = ["Run", "chosen_arguments", "count_done", "finished", "mark_of", "run_all"]

logger = logging.getLogger(__name__)

#: The file of a run's folder that says what it trains, and whether that is done.
_STATE = "run.json"


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        name: The name of its folder.
        prepared: The recipe with the rows that it trains and is scored on.
        mark: A hash of all that its result depends on: see `mark_of`.
        changes: The arguments in which it differs from the recipe's.
        after: Called with its folder and what was built when the model is trained, saved and scored, before the run
            counts as done.
    """

    name: str
    prepared: PreparedRecipe
    mark: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[Path, BuiltRecipe], None] | None = None

    @property
    def steps(self) -> int:
        """The optimizer steps of the training."""
        return self.prepared.steps()


def chosen_arguments(prepared: PreparedRecipe) -> dict[str, Any]:
    """Return the arguments that the preparation changed: those that name datasets, where some are not trained."""
    names = ("sampling_options", "augmentation") if prepared.recipe.only else ()
    return {name: getattr(prepared.args, name) for name in names}


def mark_of(prepared: PreparedRecipe, changes: Mapping[str, Any] | None = None) -> str:
    """Return a hash of a training's recipe and rows: equal where the models come out equal.

    Names of folders, and what is only logged or pushed, make no difference.

    Args:
        prepared: The recipe with its rows.
        changes: The arguments in which the training differs from the recipe's.
    """
    recipe = prepared.resolved(Path.cwd())
    kept = ("output_dir", "run_name", "report_to", "disable_tqdm", "logging_", "push_to_hub", "hub_", "card_examples")
    recipe["training"] = {k: v for k, v in recipe["training"].items() if not k.startswith(kept)}
    recipe["training"] |= {"seed": prepared.args.seed, "max_steps": prepared.args.max_steps, **(changes or {})}
    del recipe["datasets"]
    rows = {
        use: {name: sorted(content_hashes(data).items()) for name, data in getattr(prepared, use).items()}
        for use in ("train", "validation", "test")
    }
    text = json.dumps([recipe, rows], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def finished(folder: Path, run: Run) -> dict[str, Any] | None:
    """Return what is known of a run that is done: ``seconds`` and ``parameters``; ``None`` where it is not."""
    state = _state(folder / run.name)
    return state if state.get("mark") == run.mark and state.get("is_done") else None


def count_done(runs: Sequence[Run], folder: str | Path) -> int:
    """Return how many of the runs are done in a folder."""
    return sum(finished(Path(folder), run) is not None for run in runs)


def run_all(runs: Sequence[Run], folder: Path, *, parallel: int = 1, progress: bool = True) -> None:
    """Train those of the runs that are not done.

    A run that was killed continues from its last checkpoint, if it has one; else it begins again. What is done is kept
    whatever happens to the others. Ctrl-C ends the processes, too.

    Args:
        runs: The runs.
        folder: Where their folders lie.
        parallel: How many processes train at once; they share the cores.
        progress: Whether to draw a bar over the steps of all runs, where a person watches.

    Raises:
        ValueError: If the folder is a file, a run's folder holds something else, or another process trains there.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{str(folder)!r} is a file, not a folder. Choose another.")
    folder.mkdir(parents=True, exist_ok=True)
    pending = [run for run in runs if finished(folder, run) is None]
    for run in pending:
        _check_place(folder / run.name)
    with RunsBar(len(runs), sum(run.steps for run in runs), progress) as bar:
        for run in runs:
            if run not in pending:
                bar.skip(run.steps)
                bar.end()
        if parallel <= 1:
            for number, run in enumerate(pending):
                with _quiet(number > 0):
                    _train(run, folder, bar)
            return
        cores = max(1, (os.cpu_count() or 1) // parallel)
        with parallel_config(backend="loky", n_jobs=parallel, inner_max_num_threads=cores):
            jobs = Parallel(return_as="generator_unordered", batch_size=1)
            with _ignoring_interrupts():  # as the processes do that begin here: Ctrl-C reaches them, too
                found = jobs(delayed(_train_apart)(run, folder) for run in pending)
            try:
                for name, steps in found:
                    bar.begin(name)
                    bar.add(steps)
                    bar.end()
            except BaseException:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of runs that are not waited for
                    found.close()  # ends the processes
                raise


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in this process and in those that it begins, which keep to that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train_apart(run: Run, folder: Path) -> tuple[str, int]:
    """Train in a process made for it, whose output is not shown."""
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    with _quiet(True):
        _train(run, folder, None)
    return run.name, run.steps


def _train(run: Run, folder: Path, bar: RunsBar | None) -> None:
    """Train one run in its folder, alone."""
    place = folder / run.name
    place.mkdir(exist_ok=True)
    with open_beside(folder / f".{run.name}.lock") as lock:
        if not lock_file(lock):
            raise UserError(f"{str(place)!r}: another process trains there. Wait for it, or choose another folder.")
        if finished(folder, run) is not None:  # another process was faster
            return
        if _state(place).get("mark") != run.mark:
            shutil.rmtree(place)
            place.mkdir()
            _write_state(place, {"mark": run.mark, "is_done": False})
        args = run.prepared.recipe.training_arguments(
            **{**run.changes, "output_dir": str(place), "push_to_hub": False, "disable_tqdm": True}
        )
        built = replace(run.prepared, args=args).build([] if bar is None else [bar.callback(run.name)])
        for callback in (PrinterCallback, ProgressCallback, SummaryCallback):
            built.trainer.remove_callback(callback)
        begin = time.monotonic()
        built.train(resume=any(place.glob("checkpoint-*")))
        seconds = time.monotonic() - begin
        count = sum(parameter.numel() for parameter in built.model.parameters())
        if run.after is not None:
            run.after(place, built)
        del built
        gc.collect()
        _write_state(place, {"mark": run.mark, "is_done": True, "seconds": round(seconds, 3), "parameters": count})
        for checkpoint in place.glob("checkpoint-*"):  # of use until here
            shutil.rmtree(checkpoint, ignore_errors=True)


def _state(place: Path) -> dict[str, Any]:
    try:
        found = json.loads((place / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_state(place: Path, state: dict[str, Any]) -> None:
    write_text_whole(place / _STATE, json.dumps(state, indent=2, sort_keys=True) + "\n")


def _check_place(place: Path) -> None:
    """Refuse a folder that holds what no run wrote."""
    if place.exists() and (not place.is_dir() or (any(place.iterdir()) and "mark" not in _state(place))):
        raise UserError(f"{str(place)!r} exists and is no run's folder. Choose another folder, or move it away.")


@contextmanager
def _quiet(wanted: bool) -> Iterator[None]:
    """Leave out what is said of the data: the first run said it."""
    own = logging.getLogger("hf_mtl")
    before = own.level
    if wanted:
        own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.setLevel(before)
