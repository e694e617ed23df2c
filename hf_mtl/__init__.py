"""One pretrained encoder, many tasks, inside the Hugging Face stack.

Importing it registers the model with Transformers' Auto classes and the pipeline ``"multi-task"``. On the
command line a command imports what it needs when it runs: ``hf-mtl --help`` needs no torch.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = [
    "AnswerOptions",
    "MultiTaskConfig",
    "MultiTaskModel",
    "MultiTaskOutput",
    "MultiTaskPipeline",
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "OnnxPredictor",
    "TaskConfig",
    "UserError",
    "infer_tasks",
    "predict",
]

__version__ = version("hf-mtl")


def _is_command_line() -> bool:
    """Return whether this process runs ``hf-mtl`` or ``python -m hf_mtl.cli``, and no program of a user's."""
    # A program that embeds Python may have no arguments at all.
    return Path(*sys.argv[:1]).stem == "hf-mtl" or sys.orig_argv[1:3] == ["-m", "hf_mtl.cli"]


if TYPE_CHECKING or not _is_command_line():
    from hf_mtl._public import *
else:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'hf_mtl' has no attribute {name!r}")
        import hf_mtl._public

        return getattr(hf_mtl._public, name)
