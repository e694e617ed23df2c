"""The README.md of an exported folder, which the Hub shows as its model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers.pipelines import PIPELINE_REGISTRY

from hf_mtl.configuration import TaskConfig
from hf_mtl.export._scores import TaskScores
from hf_mtl.heads import kind_of

__all__ = ["onnx_card", "stock_card", "tensorflow_card"]


def stock_card(task: TaskConfig, class_name: str) -> str:
    """Return the card of one task's stock model."""
    kind = kind_of(task).hub_task
    load = f'from transformers import {class_name}\n\nmodel = {class_name}.from_pretrained("path/of/this/folder")'
    if kind in PIPELINE_REGISTRY.get_supported_tasks():
        load = f'from transformers import pipeline\n\npipe = pipeline("{kind}", model="path/of/this/folder")'
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: {kind}\ntags: [hf-mtl]\n---\n\n"
        f"# {task.name}\n\nThe task `{task.name}` ({task.type}) of a multi-task model trained with hf-mtl, as a plain "
        f"`{class_name}`. It loads without hf-mtl:\n\n"
        f"```python\n{load}\n```\n\n"
        f"{_labels(task)}\n"
    )


def onnx_card(tasks: Sequence[TaskConfig], precision: str, scores: Mapping[str, TaskScores] | None = None) -> str:
    """Return the card of a graph.

    Args:
        tasks: Its tasks.
        precision: ``"float32"`` or ``"int8"``.
        scores: The tasks' metrics by model and graph, where they were compared.
    """
    lines = "\n".join(f"- `{task.name}` ({task.type}). {_labels(task)}" for task in tasks)
    return (
        "---\nlibrary_name: onnx\ntags: [hf-mtl, onnx]\n---\n\n"
        f"# {', '.join(task.name for task in tasks)}\n\nOne ONNX graph ({precision}) that answers all tasks in one "
        "pass, exported from a multi-task model with hf-mtl. `tasks.json` says how inputs and outputs are to be "
        "read.\n\n"
        "```python\nfrom hf_mtl_light import OnnxPredictor  # needs onnxruntime, tokenizers, numpy\n\n"
        f'predictor = OnnxPredictor("path/of/this/folder")\n```\n\n{lines}\n{_table(scores or {})}'
    )


def tensorflow_card(tasks: Sequence[TaskConfig]) -> str:
    """Return the card of a SavedModel."""
    lines = "\n".join(f"- `{task.name}` ({task.type}). {_labels(task)}" for task in tasks)
    return (
        "---\nlibrary_name: keras\ntags: [hf-mtl, tf]\n---\n\n"
        f"# {', '.join(task.name for task in tasks)}\n\nOne SavedModel of TensorFlow (float32) that answers all tasks "
        "in one pass, exported from a multi-task model with hf-mtl. Its signature takes token ids; `tasks.json` says "
        "how inputs and logits are to be read.\n\n"
        '```python\nimport tensorflow as tf\n\nserve = tf.saved_model.load("path/of/this/folder").signatures'
        f'["serving_default"]\n```\n\n{lines}\n'
    )


def _table(scores: Mapping[str, TaskScores]) -> str:
    if not scores:
        return ""
    rows = "\n".join(
        f"| {name} | {task.metric} | {task.rows:,} | {task.model:.4f} | {task.graph:.4f} | {task.lost:+.2f} |"
        for name, task in scores.items()
    )
    return (
        "\n## Against the model\n\n"
        f"| task | metric | rows | model | graph | points lost |\n|---|---|---:|---:|---:|---:|\n{rows}\n"
    )


def _labels(task: TaskConfig) -> str:
    if not task.labels:
        unit = ", in the unit of its training labels" if kind_of(task).is_regression else ""
        return f"It answers {kind_of(task).answer_phrase}{unit}."
    shown = ", ".join(f"`{label}`" for label in task.labels)
    if kind_of(task).is_regression:
        return f"It answers the numbers {shown}, in the units of their training labels."
    many = " Any number of them may hold." if task.is_multi_label else ""
    return f"Labels: {shown}.{many}"
