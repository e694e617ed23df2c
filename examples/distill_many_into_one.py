# /// script
# requires-python = ">=3.10"
# dependencies = ["hf-mtl"]
# ///
"""Train one model a task, store their answers to the training rows, and train one model of all tasks from it.

    python examples/distill_many_into_one.py OUTPUT [ENCODER]

It runs offline on rows that it makes. ENCODER is a Hub id or a folder; without it a small random encoder is made.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.distillation import store_predictions

NAMES, CITIES, PRAISE, BLAME = ("anna", "bob", "eva"), ("rome", "paris", "oslo"), ("good", "fine"), ("bad", "dull")
FILLER = ("play", "book", "a", "song", "by", "in", "table", "the", "film", "was", "very", "and")
TASKS = {
    "intent": TaskConfig("intent", "sequence-classification", labels=["PlayMusic", "BookRestaurant"]),
    "slots": TaskConfig("slots", "token-classification", labels=["O", "B-artist", "B-city"]),
    "mood": TaskConfig("mood", "sentiment", labels=["bad", "good"]),
}


def make_data(rows: int, seed: int) -> dict[str, Dataset]:
    """Return a dataset of requests, with an intent and slots, and one of reviews, with a mood."""
    generator = random.Random(seed)
    requests: dict[str, list[object]] = {"tokens": [], "intent": [], "slots": []}
    reviews: dict[str, list[object]] = {"text": [], "mood": []}
    for _ in range(rows):
        plays = generator.random() < 0.5
        words = ["play", "a", "song", "by"] if plays else ["book", "a", "table", "in"]
        words.append(generator.choice(NAMES if plays else CITIES))
        requests["tokens"].append(words)
        requests["intent"].append("PlayMusic" if plays else "BookRestaurant")
        requests["slots"].append(["O"] * 4 + ["B-artist" if plays else "B-city"])
        is_good = generator.random() < 0.5
        reviews["text"].append(f"the film was very {generator.choice(PRAISE if is_good else BLAME)}")
        reviews["mood"].append("good" if is_good else "bad")
    return {"requests": Dataset.from_dict(requests), "reviews": Dataset.from_dict(reviews)}


def make_encoder(folder: Path) -> str:
    """Write a small random encoder, and a tokenizer of the words above, into a folder."""
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *NAMES, *CITIES, *PRAISE, *BLAME])
    vocabulary = {word: number for number, word in enumerate(words)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return str(folder)


def train(
    encoder: str, folder: Path, tasks: list[str], data: dict[str, dict[str, Dataset]], **settings: object
) -> dict[str, float]:
    """Train a model of some tasks, save it, and return its scores on the validation rows."""
    set_seed(0)
    model = MultiTaskModel.from_encoder(encoder, [TASKS[name] for name in tasks])
    own = {
        use: {name: rows for name, rows in splits.items() if set(tasks) & set(rows.column_names)}
        for use, splits in data.items()
    }
    arguments = MultiTaskTrainingArguments(
        str(folder), num_train_epochs=8, learning_rate=2e-3, save_strategy="no", logging_steps=20, **settings
    )
    trainer = MultiTaskTrainer(
        model, arguments, own["train"], own["validation"], AutoTokenizer.from_pretrained(encoder)
    )
    trainer.train()
    trainer.save_model()
    return trainer.evaluate()


def main(output: str, encoder: str | None = None) -> None:
    """Train one model a task, then one of all from their answers."""
    folder = Path(output)
    set_seed(0)
    encoder = encoder or make_encoder(folder / "encoder")
    data = {"train": make_data(64, seed=1), "validation": make_data(32, seed=2)}
    singles = {name: train(encoder, folder / name, [name], data) for name in TASKS}
    teachers = {name: str(folder / name) for name in TASKS}
    store_predictions(teachers, data["train"], list(TASKS.values()), folder / "teachers.parquet")
    method = {"distillation": {"teachers": str(folder / "teachers.parquet"), "annealing": "linear"}}
    one = train(encoder, folder / "one", list(TASKS), data, methods=method)
    for name, metric in (("intent", "accuracy"), ("slots", "f1"), ("mood", "accuracy")):
        key = f"eval_{name}_{metric}"
        print(f"{name:8} {metric:10} alone {singles[name][key]:.3f}   one model {one[key]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
