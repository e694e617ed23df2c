"""What the arguments say of how fast to compute, put to work for as long as training lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._freed_memory import keep_freed_memory

__all__ = ["SpeedCallback"]


class SpeedCallback(TrainerCallback):
    """Sets the model that is about to be trained, which may be a trial's own, and sets it back at the end.

    Args:
        unwrap: Takes off what distributed training wraps around a model.
    """

    def __init__(self, unwrap: Callable[..., Any]) -> None:
        self._unwrap = unwrap
        self._before: tuple[Any, bool] | None = None

    def on_train_begin(  # type: ignore[override]  # the arguments are ours
        self, args: MultiTaskTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose dropout and padding; keep freed memory."""
        model = self._unwrap(kwargs["model"])
        self._before = model.unpad, model.fast_dropout
        model.fast_dropout = args.fast_dropout
        if args.unpad is not None:
            model.unpad = args.unpad
        if args.reuse_memory and args.device.type == "cpu":
            keep_freed_memory()

    def on_train_end(  # type: ignore[override]  # the arguments are ours
        self, args: MultiTaskTrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the model back."""
        if self._before is not None:
            model = self._unwrap(kwargs["model"])
            model.unpad, model.fast_dropout = self._before
            self._before = None
        # accelerate leaves autocast around `forward`: the model in memory would differ from the one that is loaded.
        self._unwrap(kwargs["model"], keep_fp32_wrapper=False)
