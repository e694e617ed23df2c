"""The part of the trainer that saves and resumes: a checkpoint is whole or not there."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import nn
from transformers.trainer_utils import sort_checkpoints

from hf_mtl._names import listed
from hf_mtl.trainer._divergence import DivergenceError, check_finite_weights
from hf_mtl.trainer._publishing import PublishingTrainer
from hf_mtl.trainer._whole import RESULTS, TRAINING_LOG, checkpoints_in, fault_of, flush, flush_names
from hf_mtl_light.errors import UserError
from hf_mtl_light.folders import replace_files
from hf_mtl_light.outputs import write_text_whole

__all__ = ["UNFINISHED", "CheckpointingTrainer", "remove_checkpoints"]

#: The folder, within the output folder, of what is not whole yet. Uploads to the Hub pass over names with a leading
#: underscore, and Transformers takes every name with "checkpoint-" at its start for a checkpoint.
UNFINISHED = "_unfinished"
#: Within it: the checkpoint of the same step that was there before, for the moment between two renames.
_REPLACED = "replaced"
#: Within it: checkpoints that are being removed. One with its name and half of its files could pass for another kind.
_REMOVED = "removed"
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.(safetensors|bin)")


class CheckpointingTrainer(PublishingTrainer):
    """Transformers' trainer whose checkpoints are written aside and renamed when they are whole.

    ``resume_from_checkpoint=True`` resumes from the newest whole checkpoint, whoever wrote it, and names those that
    it passes over.
    """

    #: Texts, by the name of their file, that are saved with the model, such as the recipe that it was trained by.
    saved_beside: Mapping[str, str] = MappingProxyType({})
    _staging = False
    #: Files of results that this trainer wrote.
    _own_results: frozenset[str] = frozenset()

    @property
    def _output(self) -> Path:
        return Path(self.args.output_dir or "")

    # Resuming

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train, from the start or from a checkpoint: see ``transformers.Trainer.train``.

        Args:
            resume_from_checkpoint: A checkpoint's folder, or ``True``: the newest whole one of the output folder.
            args: Passed on.
            kwargs: Passed on.

        Raises:
            ValueError: If the checkpoint named is cut, or none of those in the output folder is whole.
        """
        if self.args.local_process_index == 0:
            _clear(self._output)
        self.accelerator.wait_for_everyone()
        checkpoint = self._whole(resume_from_checkpoint)
        if checkpoint and os.path.isdir(checkpoint):
            self._match_training(Path(checkpoint))
        return super().train(checkpoint, *args, **kwargs)

    def check_resumable(self, checkpoint: Any = True) -> None:
        """Check that a checkpoint is whole and of this very training; nothing is changed on disk.

        Args:
            checkpoint: A checkpoint's folder, or ``True``: the newest whole one of the output folder.

        Raises:
            ValueError: If it is cut, or was trained on something else; the message names what.
        """
        found = self._whole(checkpoint)
        if found and os.path.isdir(found):
            self._match_training(Path(found))

    def _match_training(self, checkpoint: Path) -> None:
        """Refuse a checkpoint of another training; called before anything of it is loaded."""

    def _whole(self, wanted: Any) -> Any:
        """Return the checkpoint to resume from, as Transformers takes it."""
        output = self._output
        if wanted is True:
            found = self._faults(output)
            if not found:
                return True  # Transformers says that there is none
            whole = [step for step, fault in found.items() if fault is None]
            if not whole:
                raise UserError(
                    f"No checkpoint in {output} is whole: {_faults_text(found)}. Train from the start: train() without "
                    "resume_from_checkpoint."
                )
            step = max(whole)
            passed = {other: fault for other, fault in found.items() if other > step}
            if passed:
                self._warn(f"Resuming from checkpoint-{step}. Passed over as not whole: {_faults_text(passed)}.")
            wanted = str(output / f"checkpoint-{step}")
        elif wanted and os.path.isdir(wanted):
            fault = fault_of(Path(wanted))
            if fault:
                others = [n for n, other in checkpoints_in(output).items() if fault_of(other) is None]
                remedy = f"Resume from checkpoint-{max(others)}, which is whole" if others else "Train from the start"
                raise UserError(f"Cannot resume from {wanted}: {fault}. {remedy}.")
        if wanted and os.path.isdir(wanted):
            ranks = self.args.world_size
            files = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
            missing = [name for name in files if not (Path(wanted) / name).exists()]
            if missing:
                self._warn(
                    f"{Path(wanted).name} has no {missing[0]}: it was saved by another number of processes, or with "
                    "save_only_model. The resumed training will not equal an unbroken one bit by bit."
                )
        return wanted

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # Transformers' own method warns, and trains on with weights that were never loaded.
        weights = self.accelerator.unwrap_model(self.model).state_dict()
        loaded = {value.data_ptr() for name, value in weights.items() if name not in load_result.missing_keys}
        # Of tied weights a file holds one.
        missing = [n for n in load_result.missing_keys if n not in weights or weights[n].data_ptr() not in loaded]
        for names, what in ((missing, "lacks the weights"), (load_result.unexpected_keys, "holds weights unknown to")):
            if names:
                raise UserError(
                    f"The checkpoint {what}{' of' if names is missing else ''} this model: {listed(names, 5)}. Resume "
                    "from another checkpoint, or start a new training with MultiTaskModel.from_pretrained(checkpoint)."
                )

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Transformers looks whether training is over after a step, not before one: resumed from a checkpoint of the
        # last step it would train one step too many, where that step is not the end of an epoch.
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(*args, **kwargs)

    def _faults(self, output: Path) -> dict[int, str | None]:
        """Return each checkpoint's fault by its step: on several machines, a fault that any of them finds."""
        mine = {step: fault_of(path) for step, path in sorted(checkpoints_in(output).items())}
        if self.args.world_size == 1:
            return mine
        of_machines: list[dict[int, str | None]] = gather_object([mine])
        steps = sorted({step for found in of_machines for step in found})
        absent = "it is not on every machine"
        return {step: next(filter(None, (found.get(step, absent) for found in of_machines)), None) for step in steps}

    def _warn(self, message: str) -> None:
        if self.is_world_process_zero():
            warnings.warn(message, stacklevel=4)

    # Saving

    def _get_output_dir(self, trial: Any) -> str:
        folder: str = super()._get_output_dir(trial)
        return os.path.join(folder, UNFINISHED) if self._staging else folder

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Transformers' own method does the writing, and `_get_output_dir` sends it aside. What it does besides belongs
        # after the rename and is done again here: it looks for the best checkpoint in that folder, deletes old ones
        # there (it finds none), and pushes from it.
        try:
            plain = self.accelerator.unwrap_model(self.model)
            check_finite_weights(plain, self.args, self.state.global_step, always=True)
        except DivergenceError as error:
            if getattr(self.args, "on_divergence", "stop") == "stop":
                raise
            self._warn(f"No checkpoint is saved. {error}")
            return
        run = Path(super()._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        whole, unfinished = run / name, run / UNFINISHED / name
        # On machines without a common disk each has its own folder.
        is_first_here = self.args.local_process_index == 0
        with self._failing_cleanly(f"Saving {name}", run, is_first_here):
            if is_first_here:
                _clear(run)
            self.accelerator.wait_for_everyone()  # or a fast rank's file would be cleared away
            self._staging = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = False
            best = os.path.join(run, f"checkpoint-{self.state.best_global_step}")
            if self.state.best_global_step == self.state.global_step or os.path.isdir(best):
                self.state.best_model_checkpoint = best
            if self.args.should_save:
                self.state.save_to_json(str(unfinished / "trainer_state.json"))
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                _put_in_place(unfinished, whole)
            self.accelerator.wait_for_everyone()
            if is_first_here and unfinished.is_dir():  # a machine that writes but its random states
                _put_in_place(unfinished, whole)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(whole))
        if self.args.should_save:
            _rotate(run, self.args.save_total_limit, self.state.best_model_checkpoint)

    def save_metrics(self, split: str, metrics: Mapping[str, Any], combined: bool = True) -> None:
        """Write scores, each file whole or not at all: see ``transformers.Trainer.save_metrics``."""
        if self.is_world_process_zero():
            # Scores of a model that was trained since do not go beside those of the one before.
            joins = not self.state.global_step or "all_results.json" in self._own_results
            write_results(self._output, split, metrics, combined, joins)
            self._own_results |= {f"{split}_results.json", *(("all_results.json",) if combined else ())}

    def save_state(self) -> None:
        """Write the trainer's state, whole or not at all: see ``transformers.Trainer.save_state``."""
        if self.is_world_process_zero():
            text = json.dumps(dataclasses.asdict(self.state), indent=2, sort_keys=True)
            write_text_whole(self._output / "trainer_state.json", f"{text}\n")
            self._own_results |= {"trainer_state.json"}

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        # The upload continues in the background and reads the folder by its name, so it waits for the final one.
        if not self._staging:
            super()._push_from_checkpoint(checkpoint_folder)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        check_finite_weights(self.accelerator.unwrap_model(self.model), self.args, always=True)
        final = self._output if output_dir is None else Path(output_dir)
        if self._staging or not self.args.should_save:
            with _without_secrets(self.args):
                super()._save(str(final), state_dict)
            return
        unfinished = final / UNFINISHED / "model"
        with self._failing_cleanly(f"Saving the model to {final}", final):
            _clear(final)
            with _without_secrets(self.args):
                super()._save(str(unfinished), state_dict)
            self._write_card(unfinished / "README.md", final)
            for name, text in self.saved_beside.items() if final == self._output else ():
                write_text_whole(unfinished / name, text)
            # What was measured of the model that lay there, and how it was trained, goes with it.
            of_old = {*RESULTS, *(TRAINING_LOG if self.state.global_step else ())}
            replace_files(unfinished, final, of_old - self._own_results)
            _clear(final)

    @contextmanager
    def _failing_cleanly(self, what: str, run: Path, clears: bool = True) -> Iterator[None]:
        """Leave nothing unfinished after an error, and say what is still there.

        Raises:
            OSError: If writing failed: the disk is full, say.
        """
        try:
            yield
        except BaseException as error:
            if clears:
                _clear(run)
            # torch and safetensors raise their own errors where a write fails.
            is_write = isinstance(error, OSError | RuntimeError | SafetensorError)
            if not is_write or isinstance(error, torch.OutOfMemoryError):
                raise
            whole = [step for step, path in checkpoints_in(run).items() if fault_of(path) is None]
            left = "There is no earlier checkpoint"
            if whole:
                left = f"The last good checkpoint, checkpoint-{max(whole)}, is intact"
            raise OSError(f"{what} failed: {error}. {left}; what was written of the new one is removed.") from error


def _faults_text(faults: dict[int, str | None]) -> str:
    return "; ".join(f"checkpoint-{step} ({fault})" for step, fault in sorted(faults.items()))


@contextmanager
def _without_secrets(args: Any) -> Iterator[None]:
    """Hide the token from ``training_args.bin``, which goes where the model goes."""
    token, args.hub_token = args.hub_token, None
    try:
        yield
    finally:
        args.hub_token = token


def _put_in_place(unfinished: Path, whole: Path) -> None:
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


def _rotate(run: Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints beyond a number; the newest and the best stay, as in ``rotate_checkpoints``."""
    if limit is None or limit <= 0:
        return
    found = sort_checkpoints(str(run), use_mtime=True, best_model_checkpoint=best)
    is_best_older = best is not None and str(Path(best)) in found[:-1]
    remove_checkpoints(run, map(Path, found[: -max(limit, 1 + is_best_older)]))


def _clear(run: Path) -> None:
    """Remove what a kill or an error left unfinished, and bring back what was about to be replaced."""
    for old in (run / UNFINISHED / _REPLACED).glob("checkpoint-*"):
        if not (run / old.name).exists():
            with suppress(FileNotFoundError):  # another machine on the same disk was faster
                old.rename(run / old.name)
    shutil.rmtree(run / UNFINISHED, ignore_errors=True)
