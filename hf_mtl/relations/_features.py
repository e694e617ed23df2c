"""What a task is like before anything was trained with it: its type, how many rows it has, and what they are about."""

from __future__ import annotations

import math

import numpy as np
import torch
from transformers import AutoModel

from hf_mtl.recipe import PreparedRecipe

__all__ = ["task_features"]

#: The rows of each task that are read, and the tokens of each.
_ROWS, _TOKENS = 32, 64
#: The directions in which mean vectors differ most: more would outweigh the other features.
_DIRECTIONS = 3


def task_features(prepared: PreparedRecipe) -> np.ndarray:
    """Return features of the tasks of a recipe, for tasks without a measurement: see `hf_mtl.relations.complete`.

    They are its type (a column for each), the logarithm of its rows, and the mean of the encoder's states over its
    texts, in the three directions in which the tasks differ most; of pictures these are 0.

    Args:
        prepared: The recipe with its rows.

    Returns:
        [T, F] float64, finite.
    """
    tasks = prepared.tasks
    types = sorted({task.type for task in tasks})
    columns = [[float(task.type == name) for name in types] for task in tasks]
    rows = [
        sum(len(data) for data in prepared.train.values() if task.name in data.column_names) for task in prepared.tasks
    ]
    blocks = [np.array(columns), np.log(np.maximum(rows, 1))[:, None]]
    tokenizer = prepared.recipe.load_processors().tokenizer
    path, options = prepared.encoder
    if tokenizer is not None:
        place = path["text"] if isinstance(path, dict) else path
        encoder = AutoModel.from_pretrained(place, **options).eval()
        means = np.zeros((len(tasks), 0))
        for number, task in enumerate(tasks):
            texts = _texts(prepared, task.name)
            if texts:
                batch = tokenizer(texts, truncation=True, max_length=_TOKENS, padding=True, return_tensors="pt")
                with torch.no_grad():
                    states = encoder(**batch).last_hidden_state.double()
                kept = batch["attention_mask"][..., None]
                mean = ((states * kept).sum(1) / kept.sum(1)).mean(0).numpy()
                means = np.zeros((len(tasks), len(mean))) if not means.size else means
                means[number] = mean
        left, sizes, _ = np.linalg.svd(means - means.mean(0), full_matrices=False)
        blocks.append((left * sizes)[:, : min(_DIRECTIONS, math.ceil(len(tasks) / 3))])
    return np.concatenate(blocks, axis=1)


def _texts(prepared: PreparedRecipe, task: str) -> list[str]:
    """Return the first texts of a task's rows."""
    found: list[str] = []
    for data in prepared.train.values():
        column = next((name for name in ("text", "tokens", "context", "question") if name in data.column_names), None)
        if task in data.column_names and column is not None:
            values = data.select(range(min(_ROWS, len(data))))[column]
            found += [value if isinstance(value, str) else " ".join(map(str, value)) for value in values if value]
    return found[:_ROWS]
