"""Gains measured by runs of pairs: equal rows, runs that are kept, and what the command says."""

import itertools
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
from hf_mtl.relations import Relations, RelationsPlan, complete, recommend
from hf_mtl.relations._measure import _chosen_pairs, _spread
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
    for pair, run in plan.pairs.items():
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
    both = plan.pairs[names.index("opinion"), names.index("stars")].prepared.train["films"]
    assert both.num_rows == plan.alone["stars"][0].prepared.train["films"].num_rows


@pytest.mark.parametrize("size", [3, 4, 7, 12])
def test_each_task_is_in_a_pair_and_half_of_the_pairs_are_measured(size):
    every = list(itertools.combinations(range(size), 2))
    found = _chosen_pairs(size, None, None, 0)
    assert len(found) == len(set(found)) == -(-len(every) // 2)
    least = _chosen_pairs(size, -(-size // 2), 99, 1)
    for pairs in (found, least):
        assert set(pairs) <= set(every)
        assert {task for pair in pairs for task in pair} == set(range(size))
    assert _chosen_pairs(size, 1000, 1000, 0) == every


def test_spreads_scale_with_their_metric_and_are_never_zero():
    alone = np.array([[0.8, 0.82], [0.5, 0.5], [0.0, 0.0], [-3.0, -3.3]])
    found = _spread(alone)
    assert (found > 0).all()
    scaled = alone * np.array([[1.0], [1.0], [1.0], [100.0]])
    assert _spread(scaled) == pytest.approx(found * [1, 1, 1, 100])


def test_relate_says_what_it_will_train_and_which_tasks_should_share_and_continues(values, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    options = ("recipe.yaml", "--steps", 1, "-o", "out")
    before = set(tmp_path.rglob("*"))
    assert "8 runs, 10 steps in all." in " ".join(call("relate", *options, "--dry-run").stdout.split())
    assert set(tmp_path.rglob("*")) == before
    shown = call("relate", *options).stdout
    for word in ("opinion", "with slots", "(", "Completion, on entries left out: rank", "Groups that should share:"):
        assert word in shown
    found = json.loads((tmp_path / "out" / "relations.json").read_text())
    table = np.array(found["measured"], dtype=float)
    assert np.isfinite(table).sum() == 4
    assert np.isfinite(np.array(found["completed"], dtype=float)).sum() == 6
    assert sorted(itertools.chain(*found["groups"])) == ["opinion", "slots", "stars"]
    assert found["fragment"].strip() in shown
    Recipe.from_dict({**values, **yaml.safe_load(found["fragment"])})
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    assert "8 of them are done" in call("relate", *options, "--dry-run").stdout
    first = (tmp_path / "out" / "relations.json").read_bytes()
    call("relate", *options)
    assert (tmp_path / "out" / "relations.json").read_bytes() == first


def test_a_table_that_is_too_wide_becomes_a_short_one():
    names = [f"task-{number}" for number in range(9)]
    measured = np.add.outer(np.zeros(9), np.arange(9.0))
    measured[0, 3] = np.nan
    completion = complete(measured)
    found = Relations(
        names, np.ones((9, 2)), np.ones(9), measured, completion, recommend(completion.table, names), "branches: {}\n"
    )
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
    ],
)
def test_mistakes_of_relate_are_one_line(values, tmp_path, args, message):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    assert message in call("relate", "recipe.yaml", *args, code=2).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [({"measure": "guess"}, "measure must be one of"), ({"seeds": 1}, "2, found 1"), ({"steps": 0}, "1, found 0")],
)
def test_options_that_measure_nothing_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        RelationsPlan.plan(Recipe.from_dict(values), **options)


def test_a_recipe_that_begins_with_a_trained_model_is_refused(values):
    values["model"] = values.pop("encoder")
    with pytest.raises(ValueError, match="begins with the trained model"):
        RelationsPlan.plan(Recipe.from_dict(values))
