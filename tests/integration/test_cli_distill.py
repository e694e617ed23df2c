"""``hf-mtl distill``: from models of one task each to one of all."""

import datasets
import pytest
import torch
import yaml
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from tests.unit.validation.recipes import small_recipe, write_recipe_data


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def recipe(tmp_path, encoder_folder, tokenizer, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.chdir(tmp_path)
    write_recipe_data(tmp_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(small_recipe(encoder_folder), sort_keys=False), encoding="utf-8")
    torch.manual_seed(0)
    tasks = [
        TaskConfig("verdict", "sequence-classification", labels=["pos", "neg"]),
        TaskConfig("slots", "token-classification", labels=["O", "B-place"]),
        TaskConfig("stars", "regression", target_mean=3.0),
    ]
    for task in tasks:
        model = MultiTaskModel.from_encoder(encoder_folder, [task])
        model.save_pretrained(tmp_path / task.name)
        tokenizer.save_pretrained(tmp_path / task.name)
    return path


def test_a_dry_run_says_who_teaches_what_and_writes_nothing(recipe, tmp_path):
    before = set(tmp_path.rglob("*"))
    result = call("distill", recipe, "--teachers", "verdict", "slots", "stars", "--dry-run")
    for line in ("opinion: taught by 'verdict' of verdict", "slots: taught by 'slots' of slots", "stars: taught by"):
        assert line in result.stdout
    assert set(tmp_path.rglob("*")) == before


def test_many_models_become_one(recipe, tmp_path):
    teachers = ("opinion=verdict", "slots=slots", "stars=stars")
    result = call("distill", recipe, "--teachers", *teachers, "--temperature", 2, "-o", "one")
    assert "opinion: taught by 'verdict' of verdict" in result.stdout
    assert {"model.safetensors", "teachers.parquet", "recipe.yaml"} <= {p.name for p in (tmp_path / "one").iterdir()}
    written = yaml.safe_load((tmp_path / "one" / "recipe.yaml").read_text())
    assert written["methods"]["distillation"]["temperature"] == 2
    assert (
        "already holds a trained model" in call("distill", recipe, "--teachers", *teachers, "-o", "one", code=2).stderr
    )
    answers = (tmp_path / "one" / "teachers.parquet").stat().st_mtime_ns
    call("distill", recipe, "--teachers", *teachers, "-o", "one", "--overwrite")
    assert (tmp_path / "one" / "teachers.parquet").stat().st_mtime_ns == answers


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--teachers", "opinion=verdict", "slots"], "some are named task=FOLDER and some are not"),
        (["--teachers", "opinion=slots"], "has no task with its labels"),
        (["--teachers", "nowhere/at/all"], "teacher 'nowhere/at/all'"),
        (["--teachers", "slots", "--alpha", 2], "alpha must be a number"),
        (["--teachers", "slots", "--annealing", "slow"], "annealing must be one of"),
        ([], "Missing option '--teachers'"),
    ],
)
def test_mistakes_are_one_line(recipe, args, message):
    assert message in call("distill", recipe, *args, "-o", "one", code=2).stderr
