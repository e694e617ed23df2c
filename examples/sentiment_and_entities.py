# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""Sentiment and named entities in one model: two datasets, each with one label, and a branch for the tags.

    python examples/sentiment_and_entities.py ENCODER OUTPUT

ENCODER is a Hub id or a folder, such as examples/demo/data/encoder after ``make demo``. The rows are made here; of
your own data a dataset needs its input, ``text`` or ``tokens``, and a column named after each task.
"""

from __future__ import annotations

import random
import sys

from datasets import ClassLabel, Dataset
from transformers import AutoTokenizer, pipeline, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig

PEOPLE = ("anna", "bob", "anna karina", "bob dylan", "eva maria", "tom waits")
PLACES = ("rome", "paris", "new york", "oslo", "the hague", "cape town")
TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]
GOOD, BAD = ("good", "great", "lovely", "fine"), ("bad", "awful", "dull", "poor")


def make_reviews(rows: int, seed: int) -> Dataset:
    """Return texts with a sentiment."""
    generator = random.Random(seed)
    found: dict[str, list[object]] = {"text": [], "sentiment": []}
    for _ in range(rows):
        is_good = generator.random() < 0.5
        what = generator.choice(("the film", "the food", "this book", "the concert in rome", "the song by anna"))
        found["text"].append(f"{what} was {generator.choice(GOOD if is_good else BAD)} .")
        found["sentiment"].append(int(is_good))
    return Dataset.from_dict(found).cast_column("sentiment", ClassLabel(names=["negative", "positive"]))


def make_news(rows: int, seed: int) -> Dataset:
    """Return words with a tag each: who went where."""
    generator = random.Random(seed)
    found: dict[str, list[list[str]]] = {"tokens": [], "entities": []}
    for _ in range(rows):
        person, place = generator.choice(PEOPLE), generator.choice(PLACES)
        phrases = [
            (person, "person"),
            ("is in", None),
            (place, "place"),
            (generator.choice(("today .", "again .")), None),
        ]
        words: list[str] = []
        tags: list[str] = []
        for text, kind in phrases:
            own = text.split()
            words += own
            tags += ["O"] * len(own) if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (len(own) - 1)]
        found["tokens"].append(words)
        found["entities"].append(tags)
    return Dataset.from_dict(found)


def main(encoder: str, output: str) -> None:
    """Train, evaluate, save, answer."""
    set_seed(0)
    tasks = [
        TaskConfig("sentiment", "sentiment", labels=["negative", "positive"]),
        TaskConfig("entities", "token-classification", labels=TAGS, branch="tagging"),
    ]
    # The branch: the last layer exists once for tagging and once for all else. Tags lose most by sharing.
    model = MultiTaskModel.from_encoder(encoder, tasks, branches={"tagging": 1})
    trainer = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(
            output,
            num_train_epochs=6,
            per_device_train_batch_size=32,
            learning_rate=5e-4,
            sampling="temperature",  # the smaller dataset is drawn more often than its size says
            sampling_options={"temperature": 2.0},
            save_strategy="no",
            logging_steps=10,
        ),
        train_dataset={"reviews": make_reviews(160, seed=1), "news": make_news(64, seed=2)},
        eval_dataset={"reviews": make_reviews(32, seed=3), "news": make_news(32, seed=4)},
        processing_class=AutoTokenizer.from_pretrained(encoder),
    )
    trainer.train()
    trainer.save_model()
    scores = trainer.evaluate()
    print(f"sentiment accuracy {scores['eval_sentiment_accuracy']:.3f}, entities F1 {scores['eval_entities_f1']:.3f}")

    pipe = pipeline("multi-task", model=output)
    answer = pipe("The concert by Tom Waits in New York was great .")
    names = {entity["word"]: entity["entity_group"] for entity in answer["entities"]}
    print(answer["sentiment"]["label"], names)


if __name__ == "__main__":
    main(*sys.argv[1:])
