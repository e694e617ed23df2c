"""The pages of the documentation cut into their blocks, and what their code finds when it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from datasets import ClassLabel, Dataset
from transformers import AutoTokenizer

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from tests.image_encoders import colours, image_processor, tiny_image_encoder

__all__ = ["ROOT", "blocks", "make_folders", "names_of_pages", "paragraphs"]

ROOT = Path(__file__).parents[1]
_DIGITS = ["one", "two", "three"]
TASKS = [
    TaskConfig("intent", "sequence-classification", labels=["BookRestaurant", "PlayMusic"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-artist", "I-artist", "B-city", "I-city"]),
    TaskConfig("sentiment", "sentiment", labels=["negative", "positive"]),
]


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's fenced blocks of a language, without their fences."""
    # Splitting at every fence leaves text and blocks in turn.
    fenced = re.split(r"^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1::2]
    return [body for name, body in (block.split("\n", 1) for block in fenced) if name == language]


def paragraphs(page: Path) -> list[str]:
    """Return a page's paragraphs and list items; without headings, tables and blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|^(?=\|)", text, flags=re.MULTILINE)
    return [part.strip() for part in parts if part.strip() and part.strip()[0] not in "|#!"]


def make_data() -> dict[str, Dataset]:
    """Return two small datasets for the tasks."""
    requests = {
        "tokens": [["play", "a", "song", "by", "anna"], ["book", "a", "table", "in", "rome"]] * 8,
        "intent": ["PlayMusic", "BookRestaurant"] * 8,
        "slots": [["O", "O", "O", "O", "B-artist"], ["O", "O", "O", "O", "B-city"]] * 8,
    }
    reviews = {"text": ["a good film !", "not very good ."] * 8, "sentiment": ["positive", "negative"] * 8}
    return {"requests": Dataset.from_dict(requests), "reviews": Dataset.from_dict(reviews)}


def make_trainer(encoder: str, output: str, **arguments: Any) -> MultiTaskTrainer:
    """Return a trainer of the tasks on the data."""
    torch.manual_seed(0)
    args = {"max_steps": 4, "logging_steps": 1, "disable_tqdm": True, "use_cpu": True, **arguments}
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    model = MultiTaskModel.from_encoder(encoder, TASKS)
    return MultiTaskTrainer(model, MultiTaskTrainingArguments(output, **args), make_data(), make_data(), tokenizer)


def make_folders(encoder: Path, place: Path) -> None:
    """Write below ``place`` what pages name: an encoder under a Hub id, a run folder and a model under a Hub id."""
    for name in ("google-bert/bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(encoder)
    of_pictures = place / "facebook/dinov2-small"
    tiny_image_encoder().save_pretrained(of_pictures)
    image_processor().save_pretrained(of_pictures)
    for folder in ("runs/assistant", "user/assistant"):
        trainer = make_trainer(str(encoder), str(place / folder), save_strategy="no")
        trainer.train()
        trainer.save_model()
        trainer.save_state()


def names_of_pages() -> dict[str, Any]:
    """Return what pages use without making it, in a folder that `make_folders` filled."""
    trainer = make_trainer("google-bert/bert-base-uncased", "out", save_strategy="no")
    data = make_data()
    return {
        "__name__": "__page__",
        "arguments": trainer.args,
        "data": data,
        "model": MultiTaskModel.from_pretrained("runs/assistant"),
        "signs": colours(6).rename_column("colour", "digit").cast_column("digit", ClassLabel(names=_DIGITS)),
        "tasks": TASKS,
        "tokenizer": trainer.processing_class,
        "trainer": trainer,
    }
