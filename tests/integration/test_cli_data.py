"""``hf-mtl data``: tables, warnings, and --strict."""

import datasets
import pytest
from typer.testing import CliRunner

from hf_mtl.cli import app
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe, write_rows


@pytest.fixture
def folder(tmp_path, monkeypatch, encoder_folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_data(tmp_path)
    write_recipe(tmp_path, recipe_values(encoder_folder, "run"))
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, [*map(str, args)])


def test_tables_and_warnings_are_shown_and_nothing_is_written(folder):
    before = {path.name for path in folder.iterdir()}
    result = run("data", "recipe.yaml")
    assert result.exit_code == 0
    for words in ("tokens 50%", "unknown", "in train", "films", "talks", "opinion", "B-artist", "validation"):
        assert words in result.stdout
    assert "warning: Dataset 'talks (train)': 10 of 12 rows have the input of an earlier row." in result.stderr
    assert "warning: Dataset 'talks (test)': 2 of 2 rows have the input of a training row" in result.stderr
    assert {path.name for path in folder.iterdir()} - {"cache"} == before


def test_strict_makes_an_error_of_a_warning(folder):
    result = run("data", "recipe.yaml", "--strict")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("error: Dataset '")


def test_strict_passes_data_without_fault(folder, encoder_folder):
    letters = [" ".join("abcdefghij"[int(digit)] for digit in str(i)) for i in range(200)]
    rows = [{"sentence": f"film {text}", "label": ("pos", "neg")[i % 2]} for i, text in enumerate(letters)]
    write_rows(folder / "films.jsonl", rows)
    values = recipe_values(encoder_folder, "run")
    del values["datasets"]["talks"]
    write_recipe(folder, values)
    assert run("data", "recipe.yaml", "--strict").exit_code == 0


def test_a_dry_run_shows_the_first_warnings(folder):
    result = run("train", "recipe.yaml", "--dry-run")
    assert result.exit_code == 0
    assert "warning: Dataset 'films" in result.stderr or "warning: Dataset 'talks" in result.stderr
