"""`hf-mtl merge`: models whose tasks have the same names become one by `--rename`, models of the same tasks a mean."""

import json
import shutil
from pathlib import Path

import datasets
import pytest
import torch
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel
from hf_mtl.cli import app
from hf_mtl.surgery import reorder_heads
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe


def call(model, other, output, *renames):
    args = ["merge", str(model), str(other), "-o", str(output)]
    return CliRunner().invoke(app, [*args, *(arg for rename in renames for arg in ("--rename", rename))])


def test_tasks_of_one_name_are_merged_under_others(model_folder, tmp_path):
    other = shutil.copytree(model_folder, tmp_path / "other")
    refused = call(model_folder, other, tmp_path / "out")
    assert refused.exit_code == 2
    assert "--rename" in refused.stderr
    done = call(model_folder, other, tmp_path / "out", "2:mood=feeling", "1:topic=subject", "2:topic=a:b (c)")
    assert done.exit_code == 0, done.output
    merged = MultiTaskModel.from_pretrained(tmp_path / "out")
    assert list(merged.task_heads) == ["mood", "subject", "feeling", "a:b (c)"]


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ("mood", "takes old=new or 2:old=new, found 'mood'"),
        ("3:mood=a", "there is no model 3. Models: 1 to 2"),
        ("nood=a", "no task 'nood'. Tasks: 'mood', 'topic'"),
    ],
)
def test_wrong_renames_are_one_line(model_folder, tmp_path, rename, message):
    result = call(model_folder, model_folder, tmp_path / "out", rename)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def trained(tmp_path, tokenizer, encoder_folder, monkeypatch):
    """Return a recipe and models of its tasks in the current folder: ``a``, ``b`` near it, and ``noise``."""
    from hf_mtl.recipe import Recipe

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path)
    recipe = write_recipe(tmp_path, recipe_values(encoder_folder, tmp_path / "run"))
    model = MultiTaskModel.from_encoder(str(encoder_folder), Recipe.load(recipe).prepare().tasks)
    for name, noise in (("a", 0.0), ("b", 1e-6), ("noise", float("nan"))):
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * (noise if noise == noise else 1.0))
        reorder_heads(model, list(reversed(model.task_heads)))
        model.save_pretrained(name)
        tokenizer.save_pretrained(name)
    return recipe


def average(*args):
    return CliRunner().invoke(app, ["merge", "--average", *map(str, args)])


def test_greedy_prints_what_it_keeps_and_saves_a_soup_that_scores_as_shown(trained, tmp_path):
    done = average("a", "b", "noise", "--greedy", trained, "-o", "soup")
    assert done.exit_code == 0, done.output
    lines = [line for line in map(str.split, done.stdout.splitlines()) if line[-1:] in (["yes"], ["no"])]
    assert {line[0] for line in lines} == {"a", "b", "noise"}
    kept = [float(line[2]) for line in lines if line[3] == "yes"]
    assert kept
    assert kept[0] == float(lines[0][1]) == max(float(line[1]) for line in lines)
    done = CliRunner().invoke(app, ["evaluate", "soup", str(trained), "-o", "scores.json"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "scores.json").read_text())["eval_score"] == pytest.approx(kept[-1], abs=1e-4)
    names = ", ".join(f"`{line[0]}`" for line in lines if line[3] == "yes")
    assert f"## How it was made\n\n<!-- hf_mtl:begin made -->\nThe mean of the weights of {names}: of 3" in card("soup")


def card(folder):
    return Path(folder, "README.md").read_text(encoding="utf-8")


def test_the_card_says_what_a_model_was_made_of(trained, encoder_folder, tmp_path):
    done = average("a", tmp_path / "b", "--weights", "3,1", "-o", "soup")
    assert done.exit_code == 0, done.output
    assert "The weighted mean of the weights of `a` (0.75), `b` (0.25) (a soup)." in card("soup")
    for factor in ("0.75", "0.5"):  # the second takes the place of the first
        args = ["interpolate", "a", str(encoder_folder), "--factor", factor, "-o", "soup"]
        assert CliRunner().invoke(app, args).exit_code == 0
    assert f"`a` with its encoder interpolated with the pretrained `{encoder_folder.name}` (WiSE-FT): 0.5" in card(
        "soup"
    )
    assert "mean of the weights" not in card("soup")
    assert "0.75" not in card("soup")
    assert str(tmp_path) not in card("soup")


def test_mistakes_of_an_average_name_the_option_or_the_folder(trained, model_folder, tmp_path):
    missing = f"only {str(model_folder)!r} has 'mood', 'topic'"
    for args, words in (
        (("a", "b", "--greedy", trained, "--weights", "1,2"), "--weights and --greedy contradict"),
        (("a", "b", "--greedy", "none.yaml"), "no such file"),
        (("a", model_folder), missing),
        (("a", model_folder, "--greedy", trained), missing),
    ):
        done = average(*args, "-o", tmp_path / "out")
        assert done.exit_code == 2, done.output
        assert words in done.stderr
        assert not (tmp_path / "out").exists()
    assert (
        "--greedy belongs to --average"
        in CliRunner().invoke(app, ["merge", "a", "b", "--greedy", "r", "-o", "o"]).stderr
    )
