"""Which checkpoint a training resumes from: one that is whole, on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from torch import nn
from transformers import TrainingArguments

from hf_mtl._names import listed
from hf_mtl.trainer._types import check_types
from hf_mtl.trainer._whole import checkpoints_in, fault_of
from hf_mtl_light.errors import UserError

__all__ = ["check_loaded", "whole_checkpoint"]


def whole_checkpoint(wanted: Any, args: TrainingArguments, warn: Callable[[str], None]) -> Any:
    """Return the checkpoint to resume from, as Transformers takes it.

    Args:
        wanted: A checkpoint's folder; ``True``: the newest whole one of the output folder; otherwise none.
        args: The training arguments.
        warn: Says what is passed over, or missing.

    Raises:
        TypeError: If it is neither.
        ValueError: If the checkpoint named is cut or does not exist, or none of those in the output folder is whole.
    """
    check_types(resume_from_checkpoint=wanted)
    output = Path(args.output_dir or "")
    if wanted is True:
        found = _faults(output, args.world_size)
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
            warn(f"Resuming from checkpoint-{step}. Passed over as not whole: {_faults_text(passed)}.")
        wanted = str(output / f"checkpoint-{step}")
    elif wanted and os.path.isdir(wanted):
        fault = fault_of(Path(wanted))
        if fault:
            others = [n for n, other in checkpoints_in(output).items() if fault_of(other) is None]
            remedy = f"Resume from checkpoint-{max(others)}, which is whole" if others else "Train from the start"
            raise UserError(f"Cannot resume from {wanted}: {fault}. {remedy}.")
    elif wanted:
        raise UserError(f"No checkpoint at {str(wanted)!r}: there is no such folder.")
    if wanted and os.path.isdir(wanted):
        ranks = args.world_size
        files = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
        missing = [name for name in files if not (Path(wanted) / name).exists()]
        if missing:
            warn(
                f"{Path(wanted).name} has no {missing[0]}: it was saved by another number of processes, or with "
                "save_only_model. The resumed training will not equal an unbroken one bit by bit."
            )
    return wanted


def check_loaded(model: nn.Module, load_result: Any) -> None:
    """Check that a checkpoint held the weights of the model, and no others.

    Args:
        model: The model.
        load_result: What loading its state returned.

    Raises:
        ValueError: If not; the message names them.
    """
    weights = model.state_dict()
    loaded = {value.data_ptr() for name, value in weights.items() if name not in load_result.missing_keys}
    # Of tied weights a file holds one.
    missing = [n for n in load_result.missing_keys if n not in weights or weights[n].data_ptr() not in loaded]
    for names, what in ((missing, "lacks the weights"), (load_result.unexpected_keys, "holds weights unknown to")):
        if names:
            raise UserError(
                f"The checkpoint {what}{' of' if names is missing else ''} this model: {listed(names, 5)}. Resume "
                "from another checkpoint, or start a new training with MultiTaskModel.from_pretrained(checkpoint)."
            )


def _faults(output: Path, world_size: int) -> dict[int, str | None]:
    """Return each checkpoint's fault by its step: on several machines, a fault that any of them finds."""
    mine = {step: fault_of(path) for step, path in sorted(checkpoints_in(output).items())}
    if world_size == 1:
        return mine
    of_machines: list[dict[int, str | None]] = gather_object([mine])
    steps = sorted({step for found in of_machines for step in found})
    absent = "it is not on every machine"
    return {step: next(filter(None, (found.get(step, absent) for found in of_machines)), None) for step in steps}


def _faults_text(faults: dict[int, str | None]) -> str:
    return "; ".join(f"checkpoint-{step} ({fault})" for step, fault in sorted(faults.items()))
