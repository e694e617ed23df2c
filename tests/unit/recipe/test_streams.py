"""Recipes whose training rows are read as they come: ``load: {streaming: true}``."""

import copy
import json

import pandas as pd
import pytest
import yaml
from datasets import Dataset
from typer.testing import CliRunner

from hf_mtl import TaskConfig
from hf_mtl.cli import app
from hf_mtl.data import stream_of
from hf_mtl.recipe import Recipe, RecipeError
from hf_mtl.validation import Comparison, CrossValidation
from tests.unit.recipe.recipe_files import FILMS, write_recipe


def streamed(values, name="films", **more):
    values = copy.deepcopy(values)
    values["datasets"][name]["load"]["streaming"] = True
    values["datasets"][name].update(more)
    return values


def prepare(values, folder="."):
    return Recipe.from_dict(values, folder).prepare()


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_a_stream_of_any_format_gives_the_tasks_and_rows_of_the_whole_dataset(form, values):
    writers = {"csv": pd.DataFrame(FILMS).to_csv, "parquet": pd.DataFrame(FILMS).to_parquet}
    file = "films.jsonl" if form == "json" else f"films.{form}"
    if form in writers:
        writers[form](file, index=False)
    values["datasets"]["films"]["load"] = {"path": form, "data_files": file}
    values["datasets"]["films"] |= {"validation_size": 0, "constants": {"domain": "reviews"}}
    values["datasets"]["talks"]["constants"] = {"domain": "requests"}
    whole, found = prepare(values), prepare(streamed(values))
    assert found.tasks == whole.tasks
    assert found.streams == ["films"]
    stream = stream_of(found.train["films"])
    assert list(stream) == whole.train["films"].to_list() == found.train["films"].to_list()
    assert [item["rows"]["train"] for item in found.summary()] == [None, 12]
    # What is drawn of a stream is counted, 4 steps of 8 rows.
    assert [item["share"] for item in found.summary()] == [32 / 44, 12 / 44]


def test_the_first_rows_of_a_stream_are_held_out_by_number(values):
    found = prepare(streamed(values, validation_size=5, test_size=3))
    texts = [row["sentence"] for row in FILMS]
    assert found.test["films"]["text"][:] == texts[:3]
    assert found.validation["films"]["text"][:] == texts[3:8]
    assert [row["text"] for row in stream_of(found.train["films"])] == texts[8:]
    assert "films" not in prepare(streamed(values)).validation


def test_splits_of_a_stream_are_scored_whole_and_resolved_recipes_stream_again(values):
    values = streamed(values, "talks")
    found = prepare(values)
    assert [len(data) for data in (found.validation["talks"], found.test["talks"])] == [4, 2]
    again = prepare(yaml.safe_load(yaml.safe_dump(found.resolved())))
    assert again.streams == ["talks"]
    assert again.tasks == found.tasks
    read = Recipe.from_dict(values)
    tasks = list(found.tasks)
    assert len(read.prepare_for(tasks, "test")["talks"]) == 2
    with pytest.raises(RecipeError, match="its training rows are a stream"):
        read.prepare_for(tasks, "train")
    # Trained alone, a task reads the stream without the others' columns.
    one = prepare({**values, "only": ["intent"]})
    assert one.streams == ["talks"]
    assert stream_of(one.train["talks"]).column_names == ["tokens", "intent"]


def append(line):
    with open("films.jsonl", "ab") as file:
        file.write(line)


def rewrite(content):
    with open("films.jsonl", "wb") as file:
        file.write(content)


def saved(values):
    Dataset.from_list(FILMS).save_to_disk("films")
    values["datasets"]["films"]["load"] = {"path": "films", "streaming": True}


def without_steps(values):
    del values["training"]["max_steps"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_steps, r"training.max_steps.*'films' is a stream.*Set max_steps: N"),
        (lambda v: v["datasets"]["films"].update(validation_size=0.2), "validation_size.*0.2 is a fraction"),
        (lambda v: v["datasets"]["films"].update(validation_size=20), "the stream has no rows"),
        (lambda v: v["datasets"]["films"].update(train="train[:5]"), r"films.train.*'train\[:5\]' is a slice"),
        (lambda v: v["datasets"]["films"].update(train="trian"), "no split 'trian'. Did you mean 'train'"),
        (lambda v: v["datasets"]["films"]["columns"].update(labl="kind"), "no column 'labl'. Did you mean 'label'"),
        (lambda v: v["datasets"]["films"]["load"].update(streaming="yes"), "expected true or false, found 'yes'"),
        (lambda v: v["datasets"]["films"]["load"].update(data_files="talks-train.jsonl"), "no column 'sentence'"),
        (lambda v: append(b"{\n"), "datasets.films.load.*cannot load 'json'"),
        (lambda v: rewrite(b'{"sentence": "\xe9", "label": "pos"}\n'), "is not text in utf-8"),
        (lambda v: rewrite(b""), "no rows"),
        (lambda v: v["tasks"]["opinion"].update(labels=["pos", "bad"]), "row 1.*line 2.*'neg'"),
        (saved, "films.load.streaming.*save_to_disk"),
    ],
)
def test_what_a_stream_of_a_recipe_cannot_be_is_said(change, words, values):
    values = streamed(values)
    change(values)
    with pytest.raises(RecipeError, match=f"(?s){words}"):
        prepare(values)


@pytest.mark.parametrize("what", [lambda recipe: CrossValidation.plan(recipe, 2), Comparison.plan])
def test_what_cuts_training_rows_by_number_refuses_a_stream(what, values):
    with pytest.raises(ValueError, match="the stream 'films' cannot give"):
        what(Recipe.from_dict(streamed(values)))


def test_the_command_trains_on_a_stream_and_resumes_it(values, folder):
    values = streamed(values, validation_size=4)
    values["training"] |= {"save_steps": 2, "disable_tqdm": True, "stream_buffer": 5}
    path = str(write_recipe(folder, values))
    looked = CliRunner().invoke(app, ["data", path])
    assert looked.exit_code == 0, looked.output
    found = CliRunner().invoke(app, ["train", path])
    assert found.exit_code == 0, found.output
    assert "stream/4/-" in found.output
    assert json.loads((folder / "run" / "checkpoint-2" / "streams.json").read_text())["films"]["first"] > 0
    assert "train_samples" not in json.loads((folder / "run" / "train_results.json").read_text())
    weights = (folder / "run" / "model.safetensors").read_bytes()
    again = CliRunner().invoke(app, ["train", path, "--resume"])
    assert again.exit_code == 0, again.output
    assert (folder / "run" / "model.safetensors").read_bytes() == weights
    scored = CliRunner().invoke(app, ["evaluate", "run", path])
    assert scored.exit_code == 0, scored.output
    without = CliRunner().invoke(app, ["train", path, "training.max_steps=-1", "training.output_dir=other"])
    assert without.exit_code != 0
    assert "Set max_steps: N" in " ".join(without.output.split())
    assert isinstance(prepare(values).tasks[0], TaskConfig)
