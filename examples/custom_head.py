# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""A head that the library does not have: how many of something (likes, replies, visits), by Poisson regression.

    python examples/custom_head.py ENCODER OUTPUT

ENCODER is a Hub id or a folder, such as examples/demo/data/encoder after ``make demo``. The rows are made here. The
head is a class that is passed in: trainer, evaluation, saving, loading and ``predict`` know it from then on.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch.nn import functional
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict
from hf_mtl.heads import AnswerOptions, LabelError, RegressionHead
from hf_mtl_light.words import WordMap


class CountHead(RegressionHead):
    r"""Predict a count :math:`y` from a text: the head's number is :math:`\log \lambda` of a Poisson distribution.

    Labels are whole numbers of at least 0. Its loss is the negative log-likelihood up to a constant of the label,
    :math:`\lambda - y \log \lambda`. Answers: ``{"value"}``, the expected count.
    """

    learns_from_labels = False  # neither mean nor standard deviation: the loss has its own scale
    labels_phrase = "counts"
    answer_phrase = "the expected count"

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the rank correlation and the mean absolute error."""
        return ("spearman", "mean_absolute_error"), "spearman"

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return the counts, [R] float64.

        Raises:
            LabelError: If one is no count; the message names the row.
        """
        for row, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value % 1:
                raise LabelError(row, f"{value!r} is no count. Give a whole number of at least 0.")
        return torch.tensor(values, dtype=torch.float64)

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss, summed over the rows."""
        return functional.poisson_nll_loss(logits[:, 0].float(), labels.float(), log_input=True, reduction="sum")

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[float]:
        """Return the expected count of each row."""
        return [float(count) for count in logits[:, 0].float().exp()]

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[dict[str, float]]:
        """Return each row's answer."""
        return [{"value": math.exp(row[0])} for row in logits]

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return what an answer holds."""
        return {"value": float}


def make_data(rows: int, seed: int) -> dict[str, Dataset]:
    """Return posts: those about songs get many likes, and exclamation marks double them."""
    generator = np.random.default_rng(seed)
    chooser = random.Random(seed)
    found: dict[str, list[object]] = {"text": [], "likes": [], "topic": []}
    for _ in range(rows):
        topic = chooser.choice(("song", "book"))
        is_loud = chooser.random() < 0.5
        found["text"].append(f"a {chooser.choice(('good', 'very good', 'not bad'))} {topic} {'!' if is_loud else '.'}")
        found["topic"].append(topic)
        found["likes"].append(int(generator.poisson((8 if topic == "song" else 1) * (2 if is_loud else 1))))
    return {"posts": Dataset.from_dict(found)}


def main(encoder: str, output: str) -> None:
    """Train, evaluate, save, load, answer."""
    set_seed(0)
    heads = {"count": CountHead}
    tasks = [TaskConfig("likes", "count"), TaskConfig("topic", "sequence-classification", labels=["book", "song"])]
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    trainer = MultiTaskTrainer(
        MultiTaskModel.from_encoder(encoder, tasks, heads=heads),
        MultiTaskTrainingArguments(
            output,
            num_train_epochs=6,
            per_device_train_batch_size=32,
            learning_rate=1e-3,
            save_strategy="no",
            logging_steps=10,
        ),
        make_data(256, seed=1),
        make_data(64, seed=2),
        tokenizer,
    )
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    print(f"likes: rank correlation {scores['eval_likes_spearman']:.3f}, topic: {scores['eval_topic_accuracy']:.3f}")
    loaded = MultiTaskModel.from_pretrained(output, heads=heads)
    for text, answer in zip(TEXTS, predict(loaded, tokenizer, TEXTS), strict=True):
        print(f"{text!r}: {answer['likes']['value']:.1f} likes, {answer['topic']['label']}")


TEXTS = ["A good song!", "A good song.", "A good book!", "A good book."]

if __name__ == "__main__":
    main(*sys.argv[1:])
