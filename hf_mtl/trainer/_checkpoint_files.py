"""Checkpoints on disk: written aside, renamed when they are whole, removed whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.trainer_utils import sort_checkpoints

from hf_mtl.trainer._whole import checkpoints_in, fault_of, flush, flush_names
from hf_mtl_light.outputs import write_text_whole

__all__ = [
    "UNFINISHED",
    "clear",
    "failing_cleanly",
    "put_in_place",
    "remove_checkpoints",
    "rotate",
    "without_secrets",
    "write_results",
]

#: The folder, within the output folder, of what is not whole yet. Uploads to the Hub pass over names with a leading
#: underscore, and Transformers takes every name with "checkpoint-" at its start for a checkpoint.
UNFINISHED = "_unfinished"
#: Within it: the checkpoint of the same step that was there before, for the moment between two renames.
_REPLACED = "replaced"
#: Within it: checkpoints that are being removed. One with its name and half of its files could pass for another kind.
_REMOVED = "removed"


def put_in_place(unfinished: Path, whole: Path) -> None:
    """Give a checkpoint that was written aside its name; one of an earlier training with that name is replaced."""
    flush(unfinished)
    if whole.exists():  # of an earlier training into the same folder; a folder that is not empty cannot be replaced
        aside = unfinished.parent / _REPLACED / whole.name
        aside.parent.mkdir(exist_ok=True)
        whole.rename(aside)
    unfinished.rename(whole)
    flush_names(whole.parent)
    shutil.rmtree(whole.parent / UNFINISHED, ignore_errors=True)


def remove_checkpoints(run: Path, checkpoints: Iterable[Path]) -> None:
    """Remove checkpoints, each whole or not at all: a kill meanwhile leaves none with its name and half of its files.

    Args:
        run: The folder that holds them; what was left unfinished there goes, too.
        checkpoints: Their folders.
    """
    for checkpoint in checkpoints:
        aside = run / UNFINISHED / _REMOVED / checkpoint.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another machine on the same disk was faster
            checkpoint.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(run / UNFINISHED, ignore_errors=True)


def write_results(
    folder: Path, split: str, metrics: Mapping[str, Any], combined: bool = True, joins: bool = True
) -> None:
    """Write scores as ``<split>_results.json``, and beside those of other splits into ``all_results.json``.

    Args:
        folder: The output folder.
        split: ``train``, ``eval``, ``test`` or ``all``.
        metrics: The scores, by name.
        combined: Whether ``all_results.json`` is written.
        joins: Whether it keeps what it holds.
    """
    found: dict[str, Any] = {}
    if joins:
        with suppress(FileNotFoundError, ValueError):  # one that a kill had cut
            found = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    files = {split: dict(metrics), **({"all": {**found, **metrics}} if combined else {})}
    for name, values in files.items():
        write_text_whole(folder / f"{name}_results.json", json.dumps(values, indent=4, sort_keys=True))


def rotate(run: Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints beyond a number; the newest and the best stay, as in ``rotate_checkpoints``."""
    if limit is None or limit <= 0:
        return
    found = sort_checkpoints(str(run), use_mtime=True, best_model_checkpoint=best)
    is_best_older = best is not None and str(Path(best)) in found[:-1]
    remove_checkpoints(run, map(Path, found[: -max(limit, 1 + is_best_older)]))


def clear(run: Path) -> None:
    """Remove what a kill or an error left unfinished, and bring back what was about to be replaced."""
    for old in (run / UNFINISHED / _REPLACED).glob("checkpoint-*"):
        if not (run / old.name).exists():
            with suppress(FileNotFoundError):  # another machine on the same disk was faster
                old.rename(run / old.name)
    shutil.rmtree(run / UNFINISHED, ignore_errors=True)


@contextmanager
def failing_cleanly(what: str, run: Path, clears: bool = True) -> Iterator[None]:
    """Leave nothing unfinished after an error, and say what is still there.

    Args:
        what: What is done, for messages.
        run: The folder that holds the checkpoints.
        clears: Whether this process removes what is unfinished.

    Raises:
        OSError: If writing failed: the disk is full, say.
    """
    try:
        yield
    except BaseException as error:
        if clears:
            clear(run)
        # torch and safetensors raise their own errors where a write fails.
        is_write = isinstance(error, OSError | RuntimeError | SafetensorError)
        if not is_write or isinstance(error, torch.OutOfMemoryError):
            raise
        whole = [step for step, path in checkpoints_in(run).items() if fault_of(path) is None]
        left = "There is no earlier checkpoint"
        if whole:
            left = f"The last good checkpoint, checkpoint-{max(whole)}, is intact"
        raise OSError(f"{what} failed: {error}. {left}; what was written of the new one is removed.") from error


@contextmanager
def without_secrets(args: Any) -> Iterator[None]:
    """Hide the token from ``training_args.bin``, which goes where the model goes."""
    token, args.hub_token = args.hub_token, None
    try:
        yield
    finally:
        args.hub_token = token
