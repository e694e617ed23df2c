"""Gains measured by runs of some tasks together: equal rows, runs that are kept, and what the command says."""

import html
import json

import datasets
import numpy as np
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.cli.relate import gain_table
from hf_mtl.recipe import Recipe
from hf_mtl.relations import Relations, RelationsPlan, relate, subset_gains, task_features
from hf_mtl.relations._measure import _spread
from hf_mtl.trainer import MultiTaskTrainer
from tests.unit.validation.recipes import small_recipe, write_recipe_data


@pytest.fixture
def values(tmp_path, tmp_path_factory, encoder_folder, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    monkeypatch.chdir(tmp_path)
    write_recipe_data(tmp_path)
    found = small_recipe(encoder_folder)
    for source in found["datasets"].values():
        source["test_size"] = 0.3
    return found


def call(*args, code=0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


def test_a_task_learns_from_as_many_rows_of_its_dataset_in_a_pair_as_alone(values):
    values["balancing"] = {"method": "uncertainty"}
    values["branches"] = {"tags": 1}
    values["tasks"]["slots"] = {"branch": "tags"}
    plan = RelationsPlan.plan(Recipe.from_dict(values), steps=3, budget=9)
    assert [[run.steps for run in runs] for runs in plan.alone.values()] == [[3, 3]] * 3
    names = list(plan.alone)
    for pair, run in plan.together:
        own = run.prepared
        assert [task.name for task in own.tasks] == [names[i] for i in pair]
        assert all(task.branch is None for task in own.tasks)
        assert own.args.balancing == "fixed"
        assert run.steps == 3 * len(own.train)
        for i in pair:
            [alone] = plan.alone[names[i]][0].prepared.test.values()
            [test] = [data for data in own.test.values() if names[i] in data.column_names]
            assert test[names[i]] == alone[names[i]]
    # Rows that one of two tasks labels are kept for both.
    both = dict(plan.together)[names.index("opinion"), names.index("stars")].prepared.train["films"]
    assert both.num_rows == plan.alone["stars"][0].prepared.train["films"].num_rows


def test_spreads_scale_with_their_metric_and_are_never_zero():
    alone = np.array([[0.8, 0.82], [0.5, 0.5], [0.0, 0.0], [-3.0, -3.3]])
    found = _spread(alone)
    assert (found > 0).all()
    scaled = alone * np.array([[1.0], [1.0], [1.0], [100.0]])
    assert _spread(scaled) == pytest.approx(found * [1, 1, 1, 100])


def test_relate_says_what_it_will_train_and_which_tasks_should_share_and_continues(values, tmp_path, monkeypatch):
    original, calls = MultiTaskTrainer.train, []

    def train(self, *args, **kwargs):
        calls.append(self.args.output_dir)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MultiTaskTrainer, "train", train)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    options = ("recipe.yaml", "--steps", 1, "-o", "out")
    before = set(tmp_path.rglob("*"))
    assert "8 runs, 10 steps in all." in " ".join(call("relate", *options, "--dry-run").stdout.split())
    assert set(tmp_path.rglob("*")) == before
    assert "2 of 8 runs are kept: the same command continues." in call("relate", *options, code=130).stderr
    shown = call("relate", *options).stdout
    assert "Already done: 2." in shown
    assert len(calls) == 3 + 6
    assert calls[2] == calls[3]  # begun, stopped, and trained again
    for word in ("opinion", "with slots", "(", "The completion has rank"):
        assert word in shown
    found = json.loads((tmp_path / "out" / "relations.json").read_text())
    table = np.array(found["measured"], dtype=float)
    assert np.isfinite(table).sum() == 4
    assert np.isfinite(np.array(found["completed"], dtype=float)).sum() == 6
    # Runs of a step measure nothing, and the command says so.
    assert found["recommendation"].startswith("No grouping is supported by these measurements: ")
    assert found["recommendation"] in shown
    assert (found["groups"], found["left_out"], found["fragment"]) == ([], [], "")
    assert html.escape(found["recommendation"]) in call("report", "out", "-o", "-").stdout
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    assert "Already done: 8." in call("relate", *options, "--dry-run").stdout
    first = (tmp_path / "out" / "relations.json").read_bytes()
    call("relate", *options)
    assert (tmp_path / "out" / "relations.json").read_bytes() == first
    # The same runs say what the losses do.
    call("relate", *options, "--score", "loss")
    by_loss = json.loads((tmp_path / "out" / "relations.json").read_text())
    assert by_loss["score"] == "loss"
    assert all(value < 0 for scores in by_loss["alone"].values() for value in scores)
    assert by_loss["measured"] != found["measured"]


def test_gradients_of_one_run_or_of_an_earlier_one_say_which_tasks_help_which(values, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    options = ("relate", "recipe.yaml", "--measure", "gradients", "-o", "out")
    assert "1 run, 6 steps in all." in call(*options, "--steps", 3, "--dry-run").stdout
    shown = call(*options, "--steps", 3).stdout
    assert "A gain of 1 is the root mean square of all gains" in shown
    assert "No grouping is supported by these measurements: gradients say what single steps do" in shown
    found = json.loads((tmp_path / "out" / "relations.json").read_text())
    table = np.array(found["measured"], dtype=float)
    assert np.isfinite(table).sum() == 6  # opinion and stars share rows, slots has its own
    assert np.sqrt(np.nanmean(table**2)) == pytest.approx(1, abs=1e-3)
    [run] = (path for path in (tmp_path / "out").glob("gradients-42-*"))
    assert "<svg" in call("report", "out", "-o", "-").stdout
    again = call("relate", "recipe.yaml", "--measure", "gradients", "--run", run, "-o", "again").stdout
    assert "No runs: the gradients of" in again
    earlier = json.loads((tmp_path / "again" / "relations.json").read_text())
    assert {**earlier, "fragment": ""} == {**found, "fragment": ""}
    # A task that is new has the gains of tasks like it: of its type, with as many rows, with such texts.
    values["datasets"]["more"] = {**values["datasets"]["talks"], "columns": {"words": "tokens", "marks": "places"}}
    more = relate(values, "more", measure="gradients", earlier=run)
    new = more.tasks.index("places")
    assert np.isnan(more.measured[new]).all()
    assert np.isfinite(more.completion.table[new, :new]).all()
    features = task_features(Recipe.from_dict(values).prepare())
    assert np.isfinite(features).all()
    assert features[new] == pytest.approx(features[more.tasks.index("slots")])
    assert np.abs(features[new] - features[0]).max() > 0.5


def test_subsets_are_trained_like_pairs_and_read_as_sums_of_gains(values, tmp_path):
    values["datasets"]["talks2"] = {**values["datasets"]["talks"], "columns": {"words": "tokens", "marks": "places"}}
    recipe = Recipe.from_dict(values)
    assert len(RelationsPlan.plan(recipe, measure="subsets", seeds=3).runs) == 3 * 4 + 4
    plan = RelationsPlan.plan(recipe, measure="subsets", score="loss", steps=1, budget=2 * 4 + 2)
    for members, run in plan.together:
        assert len(members) == len(run.prepared.tasks) == 3
        assert run.steps == len(run.prepared.train)
    found = plan.run("out", progress=False)

    def score(name, task):
        (folder,) = (tmp_path / "out").glob(f"{name}-*")
        return -json.loads((folder / "test_results.json").read_text())[f"test_{task}_loss"]

    assert found.alone.tolist() == [[score(f"{task}-{seed}", task) for seed in (42, 43)] for task in found.tasks]
    gains = {
        members: {
            i: (score("+".join(found.tasks[j] for j in members) + "-42", found.tasks[i]) - found.alone[i].mean())
            / found.spread[i]
            for i in members
        }
        for members, _ in plan.together
    }
    assert found.measured == pytest.approx(subset_gains(4, gains), nan_ok=True)
    assert np.isfinite(found.completion.table).sum() == 12
    assert json.loads((tmp_path / "out" / "relations.json").read_text())["measure"] == "subsets"


def test_a_table_that_is_too_wide_becomes_a_short_one():
    names = [f"task-{number}" for number in range(9)]
    measured = np.add.outer(np.zeros(9), np.arange(9.0))
    measured[0, 3] = np.nan
    found = Relations.of_gains(measured, names)
    shown = {}
    for width in (80, 200):
        console = Console(width=width)
        with console.capture() as capture:
            console.print(gain_table(found, width))
        shown[width] = capture.get().splitlines()
    assert len(shown[80]) == len(shown[200]) == 2 + 9  # no cell is folded
    assert shown[80][2].split() == ["task-0", "task-8", "+8.0", "task-1", "+1.0"]
    assert shown[200][2].split()[:3] == ["task-0", "-", "+1.0"]
    assert shown[200][2].split()[4].startswith("(+")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--budget", 7], "budget must be at least 8 runs"),
        (["only=[opinion, slots]"], "The recipe has 2 tasks, expected 3 or more."),
        (["datasets.talks.test_size=0"], "Task 'slots': no test or validation row."),
        (["--measure", "subsets"], "The recipe has 3 tasks, expected 4 or more. Use measure: pairs."),
        (["--measure", "gradients", "--run", "films.jsonl"], "is a file, not a run folder"),
    ],
)
def test_mistakes_of_relate_are_one_line(values, tmp_path, args, message):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert message in call("relate", "recipe.yaml", *args, code=2).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [({"measure": "guess"}, "measure must be one of"), ({"seeds": 1}, "2, found 1"), ({"steps": 0}, "1, found 0")]
    + [({"score": "luck"}, "score must be one of"), ({"earlier": "run"}, "needs measure: gradients")]
    + [({"measure": "gradients", **more}, "leave out score") for more in ({"score": "metric"}, {"budget": 9})],
)
def test_options_that_measure_nothing_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        RelationsPlan.plan(Recipe.from_dict(values), **options)


def test_a_recipe_that_begins_with_a_trained_model_is_refused(values):
    values["model"] = values.pop("encoder")
    with pytest.raises(ValueError, match="begins with the trained model"):
        RelationsPlan.plan(Recipe.from_dict(values))
