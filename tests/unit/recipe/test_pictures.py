"""Recipes with pictures: their encoders, columns and types."""

import json

import pytest
import yaml
from datasets import Dataset
from transformers import AutoImageProcessor, BitImageProcessorPil, pipeline
from typer.testing import CliRunner

from hf_mtl.cli._app import app
from hf_mtl.recipe import Recipe, RecipeError
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, squares, tiny_image_encoder

ENCODERS = {"text": "words", "image": "sight"}


@pytest.fixture
def place(tmp_path, tokenizer, monkeypatch):
    tiny_encoder().save_pretrained(tmp_path / "words")
    tokenizer.save_pretrained(tmp_path / "words")
    tiny_image_encoder().save_pretrained(tmp_path / "sight")
    image_processor().save_pretrained(tmp_path / "sight")
    colours(24).to_parquet(tmp_path / "photos.parquet")
    reviews = {"text": ["a good film", "very bad"] * 8, "label": ["good", "bad"] * 8}
    Dataset.from_dict(reviews).to_parquet(tmp_path / "reviews.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe_of(**changes):
    def source(name, columns):
        return {"load": {"path": "parquet", "data_files": {"train": f"{name}.parquet"}}, "columns": columns}

    recipe = {
        "encoders": ENCODERS,
        "datasets": {
            "photos": source("photos", {"image": "image", "colour": "colour"}),
            "reviews": source("reviews", {"text": "text", "label": "mood"}),
        },
        "training": {"output_dir": "run", "max_steps": 4, "report_to": "none", "use_cpu": True},
    }
    return {key: value for key, value in {**recipe, **changes}.items() if value is not None}


def test_types_are_read_off_the_data_and_everything_is_saved(place):
    (place / "both.yaml").write_text(yaml.safe_dump(recipe_of()))
    done = CliRunner().invoke(app, ["train", "both.yaml"])
    assert done.exit_code == 0, done.output
    prepared = Recipe.load("both.yaml").prepare()
    assert {task.name: task.type for task in prepared.tasks} == {
        "colour": "image-classification",
        "mood": "sequence-classification",
    }
    assert AutoImageProcessor.from_pretrained("run").size["height"] == 16
    assert yaml.safe_load((place / "run/recipe.yaml").read_text())["encoders"] == {
        "text": "../words",
        "image": "../sight",
    }
    scored = CliRunner().invoke(app, ["evaluate", "run", "both.yaml"])
    assert scored.exit_code == 0, scored.output
    assert "colour" in scored.output
    again = CliRunner().invoke(app, ["train", "run/recipe.yaml", "training.output_dir=other"])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5 + number / 7 for number in range(24)], ("image-regression", None)),
        ([[0.5, number / 7] for number in range(24)], ("image-regression", ["target_0", "target_1"])),
        ([["a", "b"][: number % 3] for number in range(24)], ("image-classification", ["a", "b"])),
    ],
)
def test_numbers_and_lists_of_labels_are_read_off_the_data(place, values, kind):
    rows = colours(24).remove_columns("colour").add_column("colour", values)
    rows.to_parquet(place / "photos.parquet")
    prepared = Recipe.from_dict(recipe_of()).prepare()
    task = next(task for task in prepared.tasks if task.name == "colour")
    assert (task.type, task.labels and list(task.labels)) == kind
    assert task.is_multi_label == (kind[0] == "image-classification")
    assert prepared.build().trainer.train().global_step == 4


def test_an_encoder_of_pictures_alone_needs_no_tokenizer(place):
    alone = recipe_of(encoders=None, encoder="sight")
    del alone["datasets"]["reviews"]
    built = Recipe.from_dict(alone).prepare().build()
    assert built.tokenizer is None
    assert built.trainer.train().global_step == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "words"}, "encoders: is given besides encoder"),
        ({"encoders": {"sound": "words"}}, "encoders.sound: encoders are named 'text' and 'image'"),
        ({"encoders": {"text": "words", "image": "nowhere/at/all"}}, "encoders.image: no folder"),
        ({"encoders": {"text": " "}}, "encoders.text: expected a Hub id"),
    ],
)
def test_wrong_encoders_are_named_by_their_key(place, changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(recipe_of(**changes)).load_processors()


def of_objects(**changes):
    """Return a recipe of boxes, whose encoder's own image processor cuts pictures."""
    source = {"load": {"path": "parquet", "data_files": {"train": "cells.parquet"}}, "columns": {"image": "image"}}
    source["columns"]["shapes"] = "cells"
    tasks = {"cells": {"type": "object-detection", "options": {"strides": [1], "channels": 16}}}
    training = {"output_dir": "run", "max_steps": 4, "report_to": "none", "use_cpu": True}
    base = recipe_of(encoders=None, encoder="near", datasets={"cells": source}, tasks=tasks, training=training)
    return {key: value for key, value in {**base, "image_size": [24, 32], **changes}.items() if value is not None}


@pytest.fixture
def near(place):
    tiny_image_encoder().save_pretrained(place / "near")
    BitImageProcessorPil(size={"shortest_edge": 20}, crop_size=16).save_pretrained(place / "near")
    squares(15).to_parquet(place / "cells.parquet")
    return place


def test_boxes_are_learned_from_whole_pictures_of_a_chosen_size(near):
    pytest.importorskip("faster_coco_eval", reason="COCO's metrics need faster-coco-eval")
    (near / "cells.yaml").write_text(yaml.safe_dump(of_objects(augmentation={"horizontal-flip": {}})))
    run = CliRunner().invoke
    folds = ["cv", "cells.yaml", "--folds", "2", "training.max_steps=1", "training.output_dir=folds"]
    for command in (["train", "cells.yaml"], ["evaluate", "run", "cells.yaml"], ["report", "run"], folds):
        done = run(app, command)
        assert done.exit_code == 0, done.output
    assert "No dataset has texts. hf-mtl train RECIPE --dry-run shows" in run(app, ["data", "cells.yaml"]).output
    assert yaml.safe_load((near / "run/recipe.yaml").read_text())["image_size"] == [24, 32]
    processor = AutoImageProcessor.from_pretrained("run")
    assert processor([squares(1)[0]["image"]], return_tensors="pt")["pixel_values"].shape == (1, 3, 24, 32)
    squares(1)[0]["image"].save("a.png")
    assert run(app, ["predict", "run", "a.png", "-o", "out.jsonl", "--threshold", "0.01"]).exit_code == 0
    pipe = pipeline("multi-task", model="run")
    found = pipe({"image": "a.png"}, thresholds=0.01)["cells"]
    assert json.loads((near / "out.jsonl").read_text()) == {"image": "a.png", "cells": found}
    corners = found[0]["box"]
    at = f"{found[0]['label']} at ({corners['xmin']}, {corners['ymin']}) to ({corners['xmax']}, {corners['ymax']})"
    assert at in run(app, ["predict", "run", "a.png", "--threshold", "0.01"]).stdout
    assert pipe({"image": "a.png"})["cells"] == [item for item in found if item["score"] >= 0.5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": None}, r"cuts their centre out .*image_size: 448"),
        ({"image_size": 20}, "image_size: 20 pixels are no multiple of 8, .* Write 16 or 24"),
        ({"image_size": 0}, r"image_size: expected pixels of an edge, or \[height, width\]"),
        ({"image_size": [16]}, r"image_size: expected pixels of an edge, or \[height, width\]"),
        ({"image_size": "large"}, "image_size"),
        ({"encoder": "words"}, "image_size: no encoder reads pictures"),
    ],
)
def test_a_wrong_size_of_pictures_is_named(near, changes, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(of_objects(**changes)).build()


def test_swapped_encoders_are_named(place):
    swapped = recipe_of(encoders={"text": "sight", "image": "words"})
    with pytest.raises(RecipeError, match="'sight', is of the family 'dinov2', which reads pictures"):
        Recipe.from_dict(swapped).prepare().build()
