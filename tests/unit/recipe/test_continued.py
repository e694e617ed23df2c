"""Recipes that begin with a trained model, and those that train some of their tasks: the last epoch of one branch."""

import dataclasses

import datasets
import pytest
import torch
import yaml
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel
from hf_mtl.cli import app
from hf_mtl.recipe import Recipe, RecipeError
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe


@pytest.fixture(scope="module")
def start(tmp_path_factory, encoder_folder, tokenizer):
    """Return a folder of data, and a model of the recipe's tasks, one of them in a branch."""
    folder = tmp_path_factory.mktemp("start")
    write_data(folder)
    values = recipe_values(encoder_folder, folder / "run")
    values |= {"branches": {"tagging": 1}, "tasks": {**values["tasks"], "slots": {"branch": "tagging"}}}
    values["sampling"] = {"strategy": "fixed", "shares": {"films": 1, "talks": 2}}
    values["augmentation"] = {"punctuation-insertion": {"datasets": ["films"]}, "word-deletion": {}}
    values["datasets"]["films"]["augmentation"] = {"word-deletion": {"p": 0.1}}
    torch.manual_seed(1)
    model = MultiTaskModel.from_encoder(
        str(encoder_folder), Recipe.from_dict(values, folder).prepare().tasks, branches=values["branches"]
    )
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder, values, model


@pytest.fixture
def here(start, monkeypatch, tmp_path):
    folder, values, model = start
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    return {**values, "training": {**values["training"], "output_dir": str(tmp_path / "out")}}, model


def test_a_last_epoch_of_one_branch_leaves_all_else_bit_for_bit(here, tmp_path):
    values, model = here
    recipe = write_recipe(tmp_path, values)
    polish = ["model=model", "only=[slots]", "training.freeze_trunk=true", "training.max_steps=2"]
    done = CliRunner().invoke(app, ["train", str(recipe), *polish, "training.weight_decay=0.1"])
    assert done.exit_code == 0, done.output
    found = MultiTaskModel.from_pretrained(tmp_path / "out")
    assert list(found.task_heads) == list(model.task_heads)
    changed = {name for name, value in found.state_dict().items() if not torch.equal(value, model.state_dict()[name])}
    assert {name.split(".")[0] for name in changed} == {"branches", "heads"}
    assert all(name.startswith(("branches.tagging", "heads.slots")) for name in changed)
    # The run's recipe is the same training once more, and evaluates all tasks of the model.
    resolved = yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text())
    again = Recipe.from_dict(resolved, tmp_path / "out").prepare()
    assert again.tasks == [found.config.task("slots")]
    assert set(again.train) == {"talks"}
    assert again.args.sampling_options["shares"] == {"talks": 2}
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "out"), str(tmp_path / "out" / "recipe.yaml")])
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in model.task_heads)


def test_rows_are_held_out_as_in_a_training_of_all_tasks(here):
    values, _ = here
    # Labelled by two tasks, the first of which stratifies the rows that are held out.
    values = {**values, "datasets": {"films": {**values["datasets"]["films"]}}, "tasks": {}, "branches": {}}
    values["datasets"]["films"] |= {"columns": {"sentence": "text", "label": "opinion", "copy": "tone"}}
    values["datasets"]["films"]["validation_size"] = 6
    del values["sampling"]
    with open("films.jsonl") as file, open("toned.jsonl", "w") as toned:
        toned.writelines(line.replace("}", f', "copy": "{"ab"[i % 3 == 0]}"}}') for i, line in enumerate(file))
    values["datasets"]["films"]["load"] = {"path": "json", "data_files": "toned.jsonl"}
    whole = Recipe.from_dict(values).prepare()
    narrow = Recipe.from_dict({**values, "only": ["tone"]}).prepare()
    for use in ("train", "validation"):
        assert getattr(narrow, use)["films"]["text"] == getattr(whole, use)["films"]["text"]
        assert "opinion" not in getattr(narrow, use)["films"].column_names
    rows = Recipe.from_dict({**values, "only": ["tone"]}).prepare_for(narrow.tasks, "validation")
    assert rows["films"]["text"] == whole.validation["films"]["text"]
    again = Recipe.from_dict(narrow.resolved()).prepare()
    assert again.validation["films"]["text"] == whole.validation["films"]["text"]


def test_a_model_is_trained_further_with_its_own_labels_in_its_order(here, encoder_folder, tokenizer, tmp_path):
    values, model = here
    other = MultiTaskModel.from_encoder(
        str(encoder_folder),
        [dataclasses.replace(task, labels=tuple(reversed(task.labels)), branch=None) for task in model.tasks],
    )
    other.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    given = {"opinion": {"weight": 2.0, "labels": ["pos", "neg"]}}
    values = {**values, "model": str(tmp_path / "other"), "branches": {}, "tasks": given}
    del values["encoder"]
    built = Recipe.from_dict(values).prepare().build()
    assert {task.name: task.labels for task in built.model.tasks} == {task.name: task.labels for task in other.tasks}
    assert built.model.config.task("opinion").weight == 2.0
    for name, value in other.state_dict().items():
        assert torch.equal(built.model.state_dict()[name], value), name


#: What is wrong -> (values in place of the recipe's, what the message says).
MISTAKES = {
    "neither": ({"model": None, "encoder": None}, "encoder: is missing"),
    "no model": ({"model": "none/there/is"}, "model: no folder"),
    "a plain encoder": ({"model": "ENCODER"}, "model:.*plain 'bert' model"),
    "other branches": ({"branches": {"tagging": 2}}, r"branches: the model has \{'tagging': 1\}"),
    "other labels": (
        {"tasks": {"opinion": {"labels": ["bad", "good"]}}},
        r"tasks.opinion.labels: the model has \['neg'",
    ),
    "another type": ({"tasks": {"opinion": {"type": "sequence-classification"}}}, "tasks.opinion.type: the model has"),
    "an unknown task in only": ({"only": ["slot"]}, "only: no dataset labels 'slot'.*Did you mean 'slots'"),
    "only without a list": ({"only": "slots"}, "only: expected a list, found 'slots'"),
    "both ways": ({"encoder_kwargs": {"bidirectional": True}}, "encoder_kwargs.bidirectional: the model decides"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_the_model_is_one_line(here, encoder_folder, mistake):
    changes, words = MISTAKES[mistake]
    changes = {key: str(encoder_folder) if value == "ENCODER" else value for key, value in changes.items()}
    values = {**here[0], "model": "model", **changes}
    with pytest.raises(RecipeError, match=words):
        Recipe.from_dict({key: value for key, value in values.items() if value is not None}).prepare()


def test_a_task_that_the_model_lacks_is_named(here):
    values, _ = here
    columns = {"words": "tokens", "act": "intention"}
    values = {**values, "model": "model", "datasets": {"talks": {**values["datasets"]["talks"], "columns": columns}}}
    values |= {"tasks": {}, "sampling": {"strategy": "uniform"}, "augmentation": {}}
    with pytest.raises(RecipeError, match=r"tasks.intention: the model has no such task.*hf-mtl heads MODEL add"):
        Recipe.from_dict(values).prepare()
