"""A small recipe of three kinds of tasks whose texts differ, for trainings that take a second."""

import random

from tests.unit.recipe.recipe_files import write_rows

WORDS = "good bad film book play song by in the paris rome anna bob is was not very".split()  # noqa: SIM905


def write_recipe_data(folder):
    generator = random.Random(0)
    texts = [" ".join(generator.choices(WORDS, k=5)) + f" {i}" for i in range(24)]
    rows = [
        {"sentence": text, "label": ("pos", "neg")[i % 2], "stars": i % 5 + 0.5, "author": f"a{i // 2}"}
        for i, text in enumerate(texts[:16])
    ]
    rows[3]["label"] = None
    write_rows(folder / "films.jsonl", rows)
    # The first words are texts of films, too.
    talks = [text.split() for text in (*texts[:4], *texts[16:])]
    marks = [["B-place" if word in ("paris", "rome") else "O" for word in words] for words in talks]
    write_rows(folder / "talks.jsonl", [{"words": w, "marks": m} for w, m in zip(talks, marks, strict=True)])


def small_recipe(encoder, **training):
    return {
        "encoder": str(encoder),
        "datasets": {
            "films": {
                "load": {"path": "json", "data_files": "films.jsonl"},
                "columns": {"sentence": "text", "label": "opinion", "stars": "stars"},
                "validation_size": 0,
            },
            "talks": {
                "load": {"path": "json", "data_files": "talks.jsonl"},
                "columns": {"words": "tokens", "marks": "slots"},
                "validation_size": 0,
            },
        },
        "tasks": {"opinion": {"type": "sentiment", "labels": ["neg", "pos"]}},
        "training": {
            "output_dir": "run",
            "max_steps": 2,
            "per_device_train_batch_size": 8,
            "precision": "float32",
            "use_cpu": True,
            "learning_rate": 1e-3,
            **training,
        },
    }
