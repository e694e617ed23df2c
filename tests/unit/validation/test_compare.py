"""One model against one each: paired rows and seeds, runs used again by content, and nothing between equals."""

import json

import numpy as np
import pytest

from hf_mtl.metrics import Accuracy
from hf_mtl.model_card import read_card
from hf_mtl.recipe import Recipe
from hf_mtl.report import read_run
from hf_mtl.trainer import MultiTaskTrainer
from hf_mtl.validation import Comparison, compare, paired_interval, verdict_of


@pytest.fixture
def values(values):
    for source in values["datasets"].values():
        source["test_size"] = 0.3
    return values


@pytest.fixture
def trained(monkeypatch):
    """The folders that were trained, in order."""
    names, original = [], MultiTaskTrainer.train

    def train(self, *args, **kwargs):
        names.append(self.args.output_dir.rpartition("/")[2].rpartition("-")[0])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(MultiTaskTrainer, "train", train)
    return names


def test_each_task_is_trained_alone_on_its_rows_and_steps_with_the_same_seeds(values, tmp_path, trained):
    values["training"] |= {"max_steps": 6, "metric_for_best_model": "slots_f1"}
    values["sampling"] = {"strategy": "fixed", "shares": {"films": 2, "talks": 1}}
    values["balancing"] = {"method": "uncertainty"}
    table = compare(values, "out", seeds=2).set_index("task")
    assert sorted(trained) == sorted(
        f"{name}-{seed}" for name in ("together", "alone-opinion", "alone-stars", "alone-slots") for seed in (42, 43)
    )
    assert list(table.index) == ["opinion", "stars", "slots"]
    assert list(table.together_steps) == [6, 6, 6]
    labelled = 10 / 11 if Recipe.from_dict(values).prepare().label_counts["films"]["train"]["opinion"].unlabelled else 1
    assert list(table.alone_steps) == [round(4 * labelled), 4, 2]
    assert (table.alone_parameters < table.together_parameters).all()
    assert table.difference.to_numpy() == pytest.approx((table.together - table.alone).to_numpy())
    assert set(table.verdict) <= {"helped", "level", "hurt"}
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    for task, names in found["alone"].items():
        config = json.loads((tmp_path / "out" / names[0] / "config.json").read_text())
        assert [own["name"] for own in config["tasks"]] == [task]
    for name in found["together"]:
        card = read_card(tmp_path / "out" / name / "README.md")
        assert card.count("## What sharing did") == 1
        assert "`opinion`" in card.partition("## What sharing did")[2]
        assert [row["task"] for row in read_run(tmp_path / "out" / name).sharing] == ["opinion", "stars", "slots"]


def test_a_recipe_with_one_task_makes_no_difference(values, trained):
    del values["datasets"]["talks"]
    del values["datasets"]["films"]["columns"]["stars"]
    [row] = compare(values, "out", seeds=2).to_dict("records")
    assert trained == ["together-42", "together-43"]
    assert (row["difference"], row["low"], row["high"], row["std"], row["verdict"]) == (0, 0, 0, 0, "level")


def test_runs_are_used_again_by_content_and_not_by_name(values, trained):
    compare(values, "out", seeds=1)
    assert len(trained) == 4
    first = compare(values, "out", seeds=1)
    assert len(trained) == 4
    values["training"]["output_dir"] = "another"
    compare(values, "out", seeds=2)
    assert sorted(trained[4:]) == ["alone-opinion-43", "alone-slots-43", "alone-stars-43", "together-43"]
    values["tasks"]["opinion"]["label_smoothing"] = 0.1  # the other tasks alone are what they were
    compare(values, "out", seeds=1)
    assert sorted(trained[8:]) == ["alone-opinion-42", "together-42"]
    del values["tasks"]["opinion"]["label_smoothing"]
    again = compare(values, "out", seeds=1)
    assert len(trained) == 10
    assert again.equals(first)


def test_by_time_the_single_models_have_together_the_steps_of_the_one(values):
    values["training"]["max_steps"] = 50
    recipe = Recipe.from_dict(values)
    by_steps, by_time = (Comparison.plan(recipe, 1, budget=budget) for budget in ("steps", "time"))
    of_tasks = [sum(runs[0].steps for runs in plan.alone.values()) for plan in (by_steps, by_time)]
    assert of_tasks[0] > 70  # films have labels of two tasks
    assert abs(of_tasks[1] - 50) <= 1
    assert by_steps.steps == 50 + of_tasks[0]


def test_epochs_of_all_are_epochs_of_each_task(values):
    del values["training"]["max_steps"]
    values["training"]["num_train_epochs"] = 2
    plan = Comparison.plan(Recipe.from_dict(values), 1)
    assert plan.alone["slots"][0].prepared.args.max_steps == -1
    assert plan.alone["slots"][0].steps == 2  # 8 rows in batches of 8, twice


def test_names_of_other_tasks_and_datasets_in_arguments_are_left_out(values):
    values["training"] |= {"frozen_heads": ["stars"], "head_learning_rate": {"opinion": 1e-3, "slots": 1e-2}}
    values["methods"] = {"r-drop": {"alpha": 0.5, "tasks": ["opinion", "slots"]}}
    values["sampling"] = {"strategy": "proportional", "weights": {"films": 2.0}, "max_rows": {"talks": 4}}
    plan = Comparison.plan(Recipe.from_dict(values), 1)
    args = {task: runs[0].prepared.args for task, runs in plan.alone.items()}
    assert [args[task].frozen_heads for task in ("opinion", "stars", "slots")] == [None, ["stars"], None]
    assert [args[task].methods for task in ("opinion", "stars")] == [
        {"r-drop": {"alpha": 0.5, "tasks": ["opinion"]}},
        None,
    ]
    assert args["slots"].head_learning_rate == {"slots": 1e-2}
    assert args["slots"].sampling_options == {"max_rows": {"talks": 4}}


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"budget": "money"}, "budget must be one of 'steps', 'time', found 'money'"),
        ({}, {"seeds": 0}, "seeds must be at least 1"),
        ({"test_size": None}, {}, "Task 'slots': no test or validation row. Set test_size"),
    ],
)
def test_comparisons_that_cannot_be_are_refused(values, change, options, message):
    values["datasets"]["talks"] |= change
    with pytest.raises(ValueError, match=message):
        compare(values, "out", **options)


def test_a_paired_interval_holds_the_difference_and_is_narrower_than_that_of_two_scores():
    generator = np.random.default_rng(0)
    statistic = Accuracy().row_statistic("accuracy", 2)
    true = generator.integers(0, 2, 500)
    hard = generator.random(500) < 0.3
    alone = [statistic.rows(np.where(hard, 1 - true, true), true)] * 2
    better = hard & (generator.random(500) < 0.2)
    together = [statistic.rows(np.where(hard & ~better, 1 - true, true), true)] * 2
    low, high = paired_interval(together, alone, statistic.value)
    assert 0 < low < better.mean() < high < better.mean() + 0.03
    assert paired_interval(alone, alone, statistic.value) == (0, 0)


@pytest.mark.parametrize(
    ("differences", "interval", "verdict"),
    [
        ([0.1, 0.12], (0.05, 0.2), "helped"),
        ([-0.1, -0.12], (-0.2, -0.05), "hurt"),
        ([0.1, 0.12], (-0.05, 0.2), "level"),
        ([0.3, -0.1], (0.05, 0.2), "level"),
        ([0.1], (float("nan"), float("nan")), "level"),
        ([0.1, 0.12], (float("nan"), float("nan")), "helped"),
    ],
)
def test_a_verdict_needs_both_rows_and_seeds(differences, interval, verdict):
    assert verdict_of(differences, *interval) == verdict
