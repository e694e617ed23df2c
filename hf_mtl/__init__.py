"""One pretrained encoder, many tasks, inside the Hugging Face stack."""

from __future__ import annotations

from importlib.metadata import version

from transformers import AutoConfig, AutoModel

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

__version__ = version("hf-mtl")

# Here, not beside the classes: code that lies in a repository registers nothing, or a second one could not be loaded.
AutoConfig.register(MultiTaskConfig.model_type, MultiTaskConfig)
AutoModel.register(MultiTaskConfig, MultiTaskModel)
