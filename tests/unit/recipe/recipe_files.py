"""Small data files and a recipe over them: separate rows for sentiment, shared rows for intent and slots."""

import json

import yaml

FILMS = [
    {"sentence": f"the film is {'not ' * (i % 2)}very good {i % 3 + 1}", "label": ("pos", "neg")[i % 2]}
    for i in range(20)
]
TALKS = [
    {"words": ["play", "the", "song", "by", "anna"], "act": "play", "marks": ["O", "O", "O", "O", "B-artist"]},
    {"words": ["book", "in", "paris"], "act": "book", "marks": ["O", "O", "B-place"]},
] * 6


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_data(folder):
    """Write the data files: films without a test split, talks with all splits."""
    write_rows(folder / "films.jsonl", FILMS)
    for split, rows in (("train", TALKS), ("validation", TALKS[:4]), ("test", TALKS[:2])):
        write_rows(folder / f"talks-{split}.jsonl", rows)


def recipe_values(encoder, output_dir):
    """Return a recipe over the data files, as a mapping."""
    return {
        "encoder": str(encoder),
        "datasets": {
            "films": {
                "load": {"path": "json", "data_files": "films.jsonl"},
                "columns": {"sentence": "text", "label": "opinion"},
            },
            "talks": {
                "load": {
                    "path": "json",
                    "data_files": {split: f"talks-{split}.jsonl" for split in ("train", "validation", "test")},
                },
                "columns": {"words": "tokens", "act": "intent", "marks": "slots"},
            },
        },
        "tasks": {"opinion": {"type": "sentiment", "labels": ["neg", "pos"]}},
        "training": {
            "output_dir": str(output_dir),
            "max_steps": 4,
            "per_device_train_batch_size": 8,
            "precision": "float32",
            "use_cpu": True,
            "learning_rate": 1e-3,
        },
    }


def write_recipe(folder, values):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path
