"""``pipeline("multi-task", model=...)``: all tasks of a text in one pass of the encoder.

Importing this package registers the task with Transformers, and for its ``pipeline("decision")`` the models.
"""

from __future__ import annotations

from transformers.pipelines import PIPELINE_REGISTRY

from hf_mtl.compatibility import HAS_DECISIONS
from hf_mtl.model import MultiTaskModel
from hf_mtl.pipelines._pipeline import MultiTaskPipeline

__all__ = ["MultiTaskPipeline"]

if "multi-task" not in PIPELINE_REGISTRY.get_supported_tasks():  # a reloaded module would be warned of
    PIPELINE_REGISTRY.register_pipeline(
        "multi-task", pipeline_class=MultiTaskPipeline, pt_model=MultiTaskModel, type="text"
    )

if HAS_DECISIONS:
    from hf_mtl.pipelines._decision import register_decisions

    register_decisions()
