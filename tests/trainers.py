"""Four tasks of all types on three small datasets, for tests of the trainer."""

from __future__ import annotations

import functools
from typing import Any

import torch
from datasets import Dataset

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder

__all__ = ["TASKS", "make_data", "model_without_dropout"]

WORDS = (  # noqa: SIM905  # one string reads better than a hundred literals
    "good bad film book play song by in the paris rome anna bob is was not very"
).split()
TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["play", "book", "none"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"]),
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("similarity", "regression"),
]


def _sentences(count: int, seed: int) -> list[list[str]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
    picks = iter(torch.randint(len(WORDS), (sum(lengths),), generator=generator).tolist())
    return [[WORDS[next(picks)] for _ in range(length)] for length in lengths]


def make_data(scale: int = 1) -> dict[str, Dataset]:
    """Return 24, 16 and 8 rows, times ``scale``."""
    return dict(_made_data(scale))


@functools.cache
def _made_data(scale: int) -> dict[str, Dataset]:
    first, second, third = _sentences(24 * scale, 1), _sentences(16 * scale, 2), _sentences(8 * scale, 3)
    intents = ["play" if "play" in row else "book" if "book" in row else "none" for row in first]
    moods = ["good" if row.count("good") >= row.count("bad") else "bad" for row in second]
    return {
        "snips": Dataset.from_dict(
            {
                "tokens": first,
                "intent": intents,
                "slots": [["B-city" if w in ("paris", "rome") else "O" for w in row] for row in first],
            }
        ),
        "sst": Dataset.from_dict({"text": [" ".join(row) for row in second], "mood": moods}),
        "sts": Dataset.from_dict(
            {
                "text": [" ".join(row) for row in third],
                "text_pair": [" ".join(reversed(row)) for row in third],
                "similarity": [float(len(row)) for row in third],
            }
        ),
    }


def model_without_dropout(tasks: list[TaskConfig] = TASKS, image_encoder: Any = None, **kwargs: Any) -> MultiTaskModel:
    """Return a model whose gradients are the same in every run: its encoders and heads draw nothing."""
    encoder = tiny_encoder(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **kwargs)
    encoders = encoder if image_encoder is None else {"text": encoder, "image": image_encoder}
    torch.manual_seed(5)
    return MultiTaskModel.from_encoder(encoders, tasks)
