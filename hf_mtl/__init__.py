"""One pretrained encoder, many tasks, inside the Hugging Face stack.

Importing it registers the model with Transformers' Auto classes and the pipeline ``"multi-task"``. What trains is
imported when it is first asked for. On the command line a command imports what it needs when it runs: ``hf-mtl --help``
needs no torch.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_mtl._later import later
from hf_mtl_light import OnnxPredictor
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.configuration import MultiTaskConfig, TaskConfig
    from hf_mtl.data import infer_tasks
    from hf_mtl.heads import AnswerOptions
    from hf_mtl.inference import predict
    from hf_mtl.model import MultiTaskModel, MultiTaskOutput
    from hf_mtl.pipelines import MultiTaskPipeline
    from hf_mtl.trainer import MultiTaskTrainer, MultiTaskTrainingArguments

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

#: Name -> the package that it is of.
_LATER = {
    "AnswerOptions": "heads",
    "MultiTaskConfig": "configuration",
    "MultiTaskModel": "model",
    "MultiTaskOutput": "model",
    "MultiTaskPipeline": "pipelines",
    "MultiTaskTrainer": "trainer",
    "MultiTaskTrainingArguments": "trainer",
    "TaskConfig": "configuration",
    "infer_tasks": "data",
    "predict": "inference",
}


def __getattr__(name: str) -> Any:
    return later(name, __name__, _LATER)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_command_line() -> bool:
    """Return whether this process runs ``hf-mtl`` or ``python -m hf_mtl.cli``, and no program of a user's."""
    # A program that embeds Python may have no arguments at all.
    return Path(*sys.argv[:1]).stem == "hf-mtl" or sys.orig_argv[1:3] == ["-m", "hf_mtl.cli"]


if not _is_command_line():
    import hf_mtl.pipelines  # noqa: F401  # registers models and pipeline
