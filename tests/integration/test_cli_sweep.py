"""``hf-mtl sweep``: trials that are trainings of the recipe, kept through a kill, and the best one as a recipe."""

import json
import os
import statistics
from tempfile import TemporaryFile

import datasets
import pytest
import torch
import yaml
from typer.testing import CliRunner

from hf_mtl.cli import app
from tests.killed import states_at_kills
from tests.unit.recipe.recipe_files import recipe_values, write_data, write_recipe

optuna = pytest.importorskip("optuna")


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def recipe(tmp_path, encoder_folder, cache, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    write_data(tmp_path)
    values = recipe_values(encoder_folder, tmp_path / "run")
    values["training"] |= {"max_steps": 2, "eval_strategy": "steps", "eval_steps": 1}
    return write_recipe(tmp_path, values)


def write_space(recipe, values):
    path = recipe.with_name("space.yaml")
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
    "per_device_train_batch_size": {"low": 4, "high": 8, "step": 4},
    "sampling": ["uniform", {"strategy": "temperature", "temperature": 2}],
    "balancing.method": ["fixed", "uncertainty"],
}


def trials(folder):
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'trials.db'}")
    states = ("COMPLETE", "PRUNED")
    return [(trial.params, trial.value) for trial in study.trials if trial.state.name in states]


def test_the_best_recipe_trains_to_the_score_of_its_trial(recipe, tmp_path):
    space = write_space(recipe, SPACE)
    result = call("sweep", recipe, "--space", space, "--trials", 2)
    assert "2 trials of 2 steps, 4 in all" in result.stdout
    folder = tmp_path / "run-sweep"
    assert {path.name for path in folder.iterdir()} == {"trials.db", "best.yaml", ".lock"}
    call("train", folder / "best.yaml")
    scores = json.loads((tmp_path / "run" / "all_results.json").read_text())
    assert scores["eval_score"] == pytest.approx(max(value for _, value in trials(folder)), abs=1e-9)


def flushing(method):
    """Return a method that flushes something first, so that a kill before it is one of those looked at."""

    def flushing(*args, **kwargs):
        with TemporaryFile() as file:
            os.fsync(file.fileno())
        return method(*args, **kwargs)

    return flushing


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_sweep_resumes_to_the_trials_of_an_unbroken_one(recipe, tmp_path, monkeypatch):
    from hf_mtl.trainer import MultiTaskTrainer

    values = yaml.safe_load(recipe.read_text())
    values["datasets"].pop("talks")
    write_recipe(tmp_path, values)
    space = write_space(recipe, {"learning_rate": SPACE["learning_rate"]})
    sweep = ["sweep", recipe, "training.max_steps=1", "--space", space, "--trials", 2, "-o"]
    folder = tmp_path / "folder"
    folder.mkdir()
    for owner, name in ((optuna.Study, "tell"), (MultiTaskTrainer, "evaluate")):  # kills there, too
        monkeypatch.setattr(owner, name, flushing(getattr(owner, name)))
    states = states_at_kills(folder, tmp_path / "states", lambda: app([str(arg) for arg in (*sweep, folder / "s")]))
    monkeypatch.undo()
    best = (folder / "s" / "best.yaml").read_bytes()
    different = {}
    for killed in states:
        names = tuple(sorted(path.name for path in killed.glob("s/*")))
        different.setdefault((names, str(trials(killed / "s")) if "trials.db" in names else ""), killed)
    for (names, _), killed in different.items():
        call(*sweep, killed / "s", *(["--resume"] if "trials.db" in names else []))
        assert trials(killed / "s") == trials(folder / "s"), f"killed at {names}"
        assert {path.name for path in (killed / "s").iterdir()} == {"trials.db", "best.yaml", ".lock"}
        assert (killed / "s" / "best.yaml").read_bytes() == best


def test_choices_alone_are_each_tried_once(recipe, tmp_path):
    space = write_space(recipe, {"sampling": ["uniform", "proportional"], "batching": ["mixed", "homogeneous"]})
    result = call("sweep", recipe, "--space", space, "--no-prune")
    assert "4 trials" in result.stdout
    found = [json.dumps(values, sort_keys=True) for values, _ in trials(tmp_path / "run-sweep")]
    assert len(found) == len(set(found)) == 4


def test_a_trial_that_diverges_does_not_end_the_sweep(recipe, tmp_path):
    space = write_space(recipe, {"learning_rate": [1e-3, 1e30]})
    result = call("sweep", recipe, "--space", space)
    assert "diverged" in result.stdout
    best = yaml.safe_load((tmp_path / "run-sweep" / "best.yaml").read_text())
    assert float(best["training"]["learning_rate"]) == 1e-3


def test_a_weak_trial_is_stopped_early_and_leaves_nothing_but_its_line(recipe, tmp_path, monkeypatch):
    from hf_mtl.cli import _trials

    monkeypatch.setattr(_trials, "_WHOLE_TRIALS", 1)
    values = yaml.safe_load(recipe.read_text())
    values["training"] |= {"max_steps": 4, "eval_steps": 2, "metric_for_best_model": "loss", "precision": "float32"}
    write_recipe(tmp_path, values)
    space = write_space(recipe, {"learning_rate": [1e-9, 1e-8, 1e-3, 3e-3]})
    result = call("sweep", recipe, "--space", space, "--trials", 4)
    folder = tmp_path / "run-sweep"
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{folder / 'trials.db'}")
    stopped = [trial for trial in study.trials if trial.state.name == "PRUNED"]
    whole = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert stopped
    assert len(stopped) + len(whole) == 4
    assert result.stdout.count("stopped early, at 50 % of its steps") == len(stopped)
    for trial in stopped:
        before = [other.intermediate_values[50] for other in whole if other.number < trial.number]
        assert trial.intermediate_values[50] > statistics.median(before)
    assert {path.name for path in folder.iterdir()} == {"trials.db", "best.yaml", ".lock"}
    best = yaml.safe_load((folder / "best.yaml").read_text())
    chosen = min(whole, key=lambda trial: trial.value)
    assert float(best["training"]["learning_rate"]) == float(chosen.params["training.learning_rate"])
    assert float(best["training"]["learning_rate"]) == 3e-3
    assert study.best_trial.number == chosen.number


def test_a_dry_run_says_how_many_trials_and_steps_and_writes_nothing(recipe, tmp_path):
    before = set(tmp_path.rglob("*"))
    space = write_space(recipe, {"max_steps": {"low": 10, "high": 30, "int": True}})
    result = call("sweep", recipe, "--space", space, "--trials", 7, "--dry-run")
    assert "7 trials of 10 to 30 steps, 70 to 210 in all" in result.stdout
    assert set(tmp_path.rglob("*")) == before | {space}


def test_trials_of_another_recipe_or_space_are_not_mixed(recipe, tmp_path):
    space = write_space(recipe, {"learning_rate": [1e-3]})
    call("sweep", recipe, "--space", space)
    again = ("sweep", recipe, "--space", space, "--resume")
    assert "holds trials of another recipe" in call(*again, "training.max_steps=1", code=2).stderr
    write_space(recipe, {"learning_rate": [1e-4]})
    assert "holds trials of another space" in call(*again, code=2).stderr
    assert "already holds trials" in call(*again[:-1], code=2).stderr
    call(*again[:-1], "--overwrite")
    assert len(trials(tmp_path / "run-sweep")) == 1


MISTAKES = [
    ({"lerning_rate": [1]}, "lerning_rate: no key of a recipe and no training argument. Did you mean 'learning_rate'?"),
    ({"training.lerning_rate": [1]}, "training.lerning_rate: no training argument. Did you mean 'learning_rate'?"),
    ({"learning_rate": {"low": 1e-5, "hihg": 1}}, "learning_rate.hihg: no key of a range. Did you mean 'high'?"),
    ({"learning_rate": {"low": 1}}, "learning_rate.high: expected a number, found None"),
    ({"learning_rate": {"low": 2, "high": 1}}, "Give a low below high"),
    ({"learning_rate": {"low": 0, "high": 1.0, "log": True}}, "learning_rate.low: a logarithmic range"),
    ({"learning_rate": {"low": 0, "high": 1.0, "log": "yes"}}, "learning_rate.log: expected true or false"),
    ({"learning_rate": {"low": 0.1, "high": 1.0, "log": True, "step": 0.1}}, "log: true takes no step"),
    ({"learning_rate": {"low": 0.1, "high": 1.0, "step": 0}}, "learning_rate.step: must be above 0"),
    ({"max_steps": {"low": 0.5, "high": 1, "int": True}}, "int: true needs whole numbers"),
    ({"learning_rate": 1e-3}, "learning_rate: expected a list of values or a range"),
    ({"learning_rate": []}, "learning_rate: an empty list"),
    ({"learning_rate": [1, 1]}, "the value 1 occurs twice"),
    ({"learning_rate": [float("nan")]}, "infinite or not a number"),
    ({"learning_rate": ["fast"]}, "training.learning_rate: expected a number, found 'fast'"),
    ({"learning_rate": [1e-3], "training.learning_rate": [1e-3]}, "names training.learning_rate twice"),
    ({"sampling": ["unifrom"]}, "Did you mean 'uniform'"),
    ({"sampling.temperature": [1, 2], "sampling": ["uniform"]}, "temperature"),
    ({"output_dir": ["a", "b"]}, "output_dir: Every trial has a folder in the sweep's. Leave it out."),
    ({"seed": [1, 2]}, "seed: It decides which rows are held out"),
    ({"datasets.films.columns": [{}]}, "the datasets stay"),
    ({}, "the space is empty"),
    ([1], "a space is a mapping"),
]


@pytest.mark.parametrize(("space", "words"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_in_the_space_names_file_key_and_remedy(recipe, tmp_path, space, words):
    before = set(tmp_path.rglob("*"))
    path = write_space(recipe, space)
    error = call("sweep", recipe, "--space", path, code=2).stderr
    assert str(path) in error
    assert words in error
    assert set(tmp_path.rglob("*")) == before | {path}


def test_one_folder_is_swept_by_one_process(recipe, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "run-sweep"
    folder.mkdir()
    with (folder / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = call("sweep", recipe, "--space", write_space(recipe, {"learning_rate": [1e-3]}), code=2)
    assert "another process sweeps there" in refused.stderr
    assert {path.name for path in folder.iterdir()} == {".lock"}


def test_a_trial_that_runs_out_of_memory_does_not_end_the_sweep(recipe, tmp_path, monkeypatch):
    from hf_mtl.trainer import MultiTaskTrainer

    train = MultiTaskTrainer.train

    def full(self, *args, **kwargs):
        if self.args.per_device_train_batch_size == 8:
            raise torch.OutOfMemoryError("of 80 GiB")
        return train(self, *args, **kwargs)

    monkeypatch.setattr(MultiTaskTrainer, "train", full)
    result = call("sweep", recipe, "--space", write_space(recipe, {"per_device_train_batch_size": [4, 8]}))
    assert "out of memory" in result.stdout
    best = yaml.safe_load((tmp_path / "run-sweep" / "best.yaml").read_text())
    assert best["training"]["per_device_train_batch_size"] == 4


def test_an_interrupted_sweep_keeps_its_trials_and_says_how_to_continue(recipe, tmp_path, monkeypatch):
    from hf_mtl.trainer import MultiTaskTrainer

    train, begun = MultiTaskTrainer.train, []

    def interrupted(self, *args, **kwargs):
        begun.append(self)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return train(self, *args, **kwargs)

    sweep = ("sweep", recipe, "--space", write_space(recipe, {"learning_rate": [1e-3, 1e-4]}))
    with monkeypatch.context() as patch:
        patch.setattr(MultiTaskTrainer, "train", interrupted)
        stopped = call(*sweep, code=130)
    assert "1 trials are kept: continue with --resume" in stopped.stderr
    assert {path.name for path in (tmp_path / "run-sweep").iterdir()} == {"trials.db", "best.yaml", ".lock"}
    call(*sweep, "--resume")
    assert len(trials(tmp_path / "run-sweep")) == 2
