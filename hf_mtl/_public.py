"""The names of the package, which need torch and Transformers."""

from __future__ import annotations

from hf_mtl.configuration import MultiTaskConfig, TaskConfig
from hf_mtl.data import infer_tasks
from hf_mtl.heads import AnswerOptions
from hf_mtl.inference import predict
from hf_mtl.model import MultiTaskModel, MultiTaskOutput
from hf_mtl.pipelines import MultiTaskPipeline
from hf_mtl.trainer import MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl_light import OnnxPredictor
from hf_mtl_light.errors import UserError

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
