"""A training whose losses or weights stop being finite: named, stopped, and never saved."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_mtl._names import listed
from hf_mtl.trainer._whole import checkpoints_in
from hf_mtl_light.errors import UserError

__all__ = ["DivergenceCallback", "DivergenceError", "check_finite_losses", "check_finite_weights"]


class DivergenceError(UserError):
    """A training, or a model, whose numbers are not finite."""


def check_finite_losses(losses: Mapping[str, torch.Tensor], step: int, datasets: Collection[str], args: Any) -> None:
    """Stop a training, or warn, where a task's loss is infinite or not a number.

    Args:
        losses: A micro-batch's loss of each task, scalars.
        step: The step under way, from 0.
        datasets: The datasets of its rows.
        args: The training arguments.

    Raises:
        DivergenceError: If a loss is not finite, and ``on_divergence`` is ``"stop"``.
    """
    if not losses or bool(torch.isfinite(torch.stack([loss.detach().float() for loss in losses.values()])).all()):
        return
    found = {name: float(loss.detach()) for name, loss in losses.items() if not torch.isfinite(loss)}
    what = ", ".join(f"task {name!r} has the loss {value}" for name, value in found.items())
    _report(f"in step {step + 1} {what} on rows of {listed(sorted(set(datasets)))}", args)


def check_finite_weights(model: nn.Module, args: Any, step: int | None = None, *, always: bool = False) -> None:
    """Stop a training, or warn, where a weight is infinite or not a number.

    Args:
        model: The model.
        args: The training arguments.
        step: The steps trained so far; ``None``: nothing is being trained.
        always: Whether it is an error under ``on_divergence="warn"``, too.

    Raises:
        DivergenceError: If a weight is not finite, and that is an error.
    """
    found = [name for name, weights in model.named_parameters() if not bool(torch.isfinite(weights).all())]
    if found:
        when = "" if step is None else f"after step {step} "
        _report(f"{when}{len(found)} parameters are not finite, such as {found[0]!r}", args, always)


def _report(what: str, args: Any, always: bool = False) -> None:
    kept = checkpoints_in(Path(args.output_dir or ""))
    last = f" The last checkpoint kept is checkpoint-{max(kept)}." if kept else ""
    message = (
        f"The training diverged: {what}. Train again with a lower learning_rate (now {args.learning_rate:g}), a lower "
        f"head_learning_rate, more warmup_steps or precision='float32'.{last}"
    )
    if always or args.on_divergence == "stop":
        raise DivergenceError(message)
    warnings.warn(message, stacklevel=3)


class DivergenceCallback(TrainerCallback):
    """Looks at the weights at each log and at the end of a training."""

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check the weights."""
        if "loss" in (kwargs.get("logs") or {}):
            check_finite_weights(kwargs["model"], args, state.global_step)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Check the weights that the training ends with: those of the best model, where it was loaded."""
        check_finite_weights(kwargs["model"], args, state.global_step)
