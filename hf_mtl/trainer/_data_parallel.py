"""Data-parallel training of heads that have no rows on a process."""

from __future__ import annotations

from typing import Any

from accelerate import DistributedDataParallelKwargs
from transformers import TrainingArguments

__all__ = ["allow_unused_heads"]


def allow_unused_heads(built: dict[str, Any], args: TrainingArguments) -> None:
    """Have `DistributedDataParallel` look for parameters without a gradient, unless the arguments say otherwise.

    A head without rows on a rank takes no part in that rank's step. Trainer has it look, but not under activation
    checkpointing, where the reentrant kind, no longer its default, breaks it: then such a step would fail. The other
    way, to touch every head with a term of weight zero, is no faster (benchmarks/results/unused_heads.md), and it gives
    heads without rows on any rank a gradient of zeros: AdamW would let their weights decay, unlike in one process.
    Where the first batch has rows for all heads, torch warns once that it found none unused, which may be ignored.

    Args:
        built: Arguments of the accelerator.
        args: The training arguments.
    """
    if args.ddp_find_unused_parameters is None:
        for handler in built["kwargs_handlers"]:
            if isinstance(handler, DistributedDataParallelKwargs):
                handler.find_unused_parameters = True
