"""Encoder and heads together: `MultiTaskModel`, what it returns, and one of its tasks as a model by itself."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel

from hf_mtl.configuration import MultiTaskConfig
from hf_mtl.model._adapter_folder import load_adapter_weights
from hf_mtl.model._adapters import ADAPTER_TYPES, make_adapter_config, refuse_adapters
from hf_mtl.model._beside import HISTORY, JUDGED, RESULTS, TRAINING_LOG, model_replaced
from hf_mtl.model._model import MultiTaskModel
from hf_mtl.model._outputs import MultiTaskOutput
from hf_mtl.model._task_modules import TaskModules
from hf_mtl.model._task_view import TaskView, view_task

__all__ = [
    "ADAPTER_TYPES",
    "HISTORY",
    "JUDGED",
    "RESULTS",
    "TRAINING_LOG",
    "MultiTaskModel",
    "MultiTaskOutput",
    "TaskModules",
    "TaskView",
    "load_adapter_weights",
    "make_adapter_config",
    "model_replaced",
    "refuse_adapters",
    "view_task",
]

if __name__ == "hf_mtl.model":  # code that lies in a repository registers nothing, or a second one could not be loaded
    AutoConfig.register(MultiTaskConfig.model_type, MultiTaskConfig)
    AutoModel.register(MultiTaskConfig, MultiTaskModel)
