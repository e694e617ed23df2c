"""Recipes over real data sets: types and labels are inferred, rows read, tokenised, run and scored.

The data are no part of the project (some licences forbid it): a folder of data sets with a ``datasets.json``, named by
the variable HF_MTL_DATA or found beside the checkout. Without it these tests are skipped.
"""

import json
import os
from pathlib import Path

import pytest

from hf_mtl.recipe import Recipe

DATA = Path(os.environ.get("HF_MTL_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "datasets.json").exists(), reason="no real data: set HF_MTL_DATA to a folder with a datasets.json"
)

#: Task in datasets.json -> what the library should infer.
TYPES = {
    "sequence-classification": "sequence-classification",
    "pair-classification": "sequence-classification",
    "multi-label-classification": "sequence-classification",
    "token-classification": "token-classification",
    "pair-regression": "regression",
    "sequence-regression": "regression",
}


def recipe_for(name, encoder, output):
    """Return a recipe for the first input of a data set and every task on it, a few rows a split."""
    described = json.loads((DATA / "datasets.json").read_text())[name]
    tasks = described["tasks"]
    first = next((t for t in tasks if "tokens" in t), tasks[0])
    columns = {first.get("tokens") or first["text"]: "tokens" if "tokens" in first else "text"}
    if "text_pair" in first:
        columns[first["text_pair"]] = "text_pair"
    for task in tasks:
        columns[task["label"]] = f"{name}_{task['label']}"
    loader = "parquet" if described["format"] == "parquet" else "json"
    files = {split: str(DATA / name / file) for split, file in described["files"].items()}
    recipe = Recipe.from_dict(
        {
            "encoder": str(encoder),
            "datasets": {
                name: {
                    "load": {"path": loader, "data_files": files},
                    "columns": columns,
                    "train": "train[:200]",
                    "validation": "validation[:40]",
                    "test": "test[:40]",
                }
            },
            "training": {"output_dir": str(output), "max_steps": 2, "use_cpu": True, "disable_tqdm": True},
        }
    )
    return recipe, {f"{name}_{task['label']}": TYPES[task["task"]] for task in tasks}


@pytest.mark.parametrize(
    "name", ["snips", "ud_ewt", "trec", "stsb", "mrpc", "go_emotions", "vader_sentiment", "msra_ner"]
)
def test_recipe_over_a_real_data_set_trains_and_scores(name, encoder_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    recipe, expected = recipe_for(name, encoder_folder, tmp_path / "run")
    built = recipe.build()
    assert {task.name: task.type for task in built.prepared.tasks} == expected
    built.trainer.train()
    scores = built.trainer.evaluate()
    assert 0 <= scores["eval_score"] <= 1 or "regression" in expected.values()
    assert all(f"eval_{task}_loss" in scores for task in expected)
