# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""Train three tasks from Python on a few rows, save the model, load it and answer.

    python examples/train_in_python.py ENCODER OUTPUT

ENCODER is a Hub id or a folder, such as the one that ``make demo`` puts at examples/demo/data/encoder.
"""

from __future__ import annotations

import json
import sys

from datasets import ClassLabel, Dataset
from transformers import AutoTokenizer, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig, predict


def make_data() -> dict[str, Dataset]:
    """Return two small datasets: one labels two tasks on the same rows, the other a third task."""
    requests = Dataset.from_dict(
        {
            "tokens": [["play", "a", "song", "by", "anna"], ["book", "a", "table", "in", "rome"]] * 8,
            "intent": ["PlayMusic", "BookRestaurant"] * 8,
            "slots": [["O", "O", "O", "O", "B-artist"], ["O", "O", "O", "O", "B-city"]] * 8,
        }
    )
    reviews = Dataset.from_dict({"text": ["a very good film !", "not good ."] * 8, "mood": [1, 0] * 8})
    # The order of a dataset's own classes need not be that of the task.
    return {"requests": requests, "reviews": reviews.cast_column("mood", ClassLabel(names=["bad", "good"]))}


def main(encoder: str, output: str) -> None:
    """Train, evaluate, save, load, answer."""
    set_seed(0)
    data = make_data()
    model = MultiTaskModel.from_encoder(
        encoder,
        [
            TaskConfig("intent", "sequence-classification", labels=["BookRestaurant", "PlayMusic"]),
            TaskConfig("slots", "token-classification", labels=["O", "B-artist", "I-artist", "B-city", "I-city"]),
            TaskConfig("mood", "sentiment", labels=["bad", "good"], options={"loss": "ordinal"}),
        ],
    )
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    arguments = MultiTaskTrainingArguments(
        output, num_train_epochs=10, learning_rate=1e-3, eval_strategy="epoch", save_strategy="no", logging_steps=5
    )
    trainer = MultiTaskTrainer(model, arguments, data, data, tokenizer)
    trainer.train()
    trainer.save_model()
    loaded = MultiTaskModel.from_pretrained(output)
    for answer in predict(loaded, tokenizer, ["Play a good song in Rome!", "Not a very good book."]):
        print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
