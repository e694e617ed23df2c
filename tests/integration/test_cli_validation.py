"""``hf-mtl cv`` and ``hf-mtl compare``: what they say, write, and keep through Ctrl-C."""

import datasets
import pytest
import yaml
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.recipe import Recipe
from hf_mtl.report import read_run
from hf_mtl.validation import earlier_run
from tests.unit.validation.recipes import small_recipe, write_recipe_data


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def recipe(tmp_path, encoder_folder, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.chdir(tmp_path)
    write_recipe_data(tmp_path)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(small_recipe(encoder_folder), sort_keys=False), encoding="utf-8")
    return path


def test_a_dry_run_of_cv_says_how_many_folds_and_steps_and_writes_nothing(recipe, tmp_path):
    before = set(tmp_path.rglob("*"))
    assert "3 folds of 2 steps, 6 in all." in call("cv", recipe, "--folds", 3, "--dry-run").stdout
    assert set(tmp_path.rglob("*")) == before


@pytest.fixture
def calls(monkeypatch):
    """The folders that were trained; a person stops the second training."""
    from hf_mtl.trainer import MultiTaskTrainer

    original, folders = MultiTaskTrainer.train, []

    def train(self, *args, **kwargs):
        folders.append(self.args.output_dir)
        if len(folders) == 2:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MultiTaskTrainer, "train", train)
    return folders


def test_cv_keeps_what_is_done_through_an_interrupt_and_continues(recipe, tmp_path, calls):
    result = call("cv", recipe, "--folds", 2, "-o", "cv", code=130)
    assert "1 of 2 folds are kept: the same command continues." in result.stderr
    result = call("cv", recipe, "--folds", 2, "-o", "cv")
    assert "Already done: 1." in result.stdout
    assert len(calls) == 3
    for word in ("opinion", "slots", "mean of the main metrics", "95 % interval"):
        assert word in result.stdout
    names = {path.name for path in (tmp_path / "cv").iterdir() if not path.name.startswith(".")}
    assert names == {"fold-0", "fold-1", "oof.parquet", "folds.parquet", "scores.csv", "recipe.yaml"}
    call("cv", recipe, "--folds", 2, "-o", "cv")
    assert len(calls) == 3
    call("cv", recipe, "--folds", 2, "-o", "cv", "--overwrite")
    assert len(calls) == 5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--folds", 50], "50 folds need as many different texts, and there are"),
        (["--group-by", "autor"], "no dataset has a column 'autor'"),
        (["-o", "films.jsonl"], "is a file, not a folder"),
    ],
)
def test_mistakes_of_cv_are_one_line(recipe, args, message):
    assert message in call("cv", recipe, *args, code=2).stderr


def test_compare_says_what_it_will_train_and_what_sharing_did_and_continues(recipe, tmp_path, calls):
    sizes = ("datasets.films.test_size=0.3", "datasets.talks.test_size=0.3")
    before = set(tmp_path.rglob("*"))
    result = call("compare", recipe, *sizes, "--seeds", 2, "--dry-run")
    assert "8 runs with 2 seeds" in result.stdout
    assert "together: 2 steps" in result.stdout
    assert set(tmp_path.rglob("*")) == before
    command = ("compare", recipe, *sizes, "--seeds", 1, "-o", "out")
    assert "1 of 4 runs are kept: the same command continues." in call(*command, code=130).stderr
    call("train", recipe, *sizes)
    result = call(*command)
    assert len(calls) == 2 + 1 + 3
    for word in ("opinion", "slots", "difference", "level", "One model:", "One each, together:"):
        assert word in result.stdout
    names = {path.name.partition("-")[0] for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert names == {"together", "alone", "comparison.csv", "comparison.json"}
    assert "Already done: 4." in call(*command, "--dry-run").stdout
    assert "no test or validation row" in call("compare", recipe, code=2).stderr
    # The run that was there before is of the same recipe and rows; another recipe leaves it as it is.
    assert "What sharing did is in the report and the card of run, too." in result.stdout
    (run,) = {path.parent for path in tmp_path.glob("run/sharing.json")}
    card = (run / "README.md").read_text(encoding="utf-8")
    assert card.count("## What sharing did") == 1
    assert [row["task"] for row in read_run(run).sharing] == ["opinion", "stars", "slots"]
    for other, found in ((), run), (("training.learning_rate=1e-4",), None), (("datasets.films.test_size=5",), None):
        assert earlier_run(Recipe.load(recipe, [*sizes, *other]).prepare()) == (found and found.relative_to(tmp_path))
    # It does not hold for other weights.
    call("train", recipe, *sizes, "training.learning_rate=1e-4", "--overwrite")
    assert not (run / "sharing.json").exists()
    assert "What sharing did" not in (run / "README.md").read_text(encoding="utf-8")
