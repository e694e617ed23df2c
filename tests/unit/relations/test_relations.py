"""Gains of tasks from one another: completion of a low-rank table, exact groups, and fragments that recipes read."""

import itertools
import re

import numpy as np
import pytest
import yaml

from hf_mtl.relations import (
    Relations,
    best_groups,
    complete,
    gradient_gains,
    group_gain,
    recommend,
    subset_gains,
)
from hf_mtl.relations._subsets import choose_pairs, choose_subsets, least_sets
from hf_mtl.relations._support import steady_spread
from hf_mtl.report import Run


def half_of(table, generator):
    """Return a table with each pair, in both directions, kept or not at random."""
    kept = np.triu(generator.random(table.shape) < 0.5, 1)
    return np.where(kept | kept.T, table, np.nan)


def test_completion_recovers_a_table_of_rank_2_with_noise_from_half_of_its_entries():
    generator = np.random.default_rng(0)
    size = 24
    true = generator.normal(size=(size, 2)) @ generator.normal(size=(2, size)) + generator.normal(size=(size, 1))
    found = complete(half_of(true + 0.1 * generator.normal(size=true.shape), generator))
    unseen = ~found.is_measured & ~np.eye(size, dtype=bool)
    error = ((found.table - true)[unseen] ** 2).mean() ** 0.5
    assert found.rank >= 2
    assert error < 0.4 * true.std()
    assert 0.5 * error < found.error < 2 * error  # entries left out say what unseen ones are worth
    assert found.error < 0.5 * found.rank_0_error
    assert found.sign_accuracy > max(0.85, found.rank_0_sign_accuracy)


def test_noise_and_biases_alone_keep_rank_0_and_measured_entries_stay():
    generator = np.random.default_rng(0)
    biased = generator.normal(size=(12, 1)) + generator.normal(size=12) + 0.3 * generator.normal(size=(12, 12))
    given = half_of(biased, generator)
    found = complete(given)
    assert found.rank == 0
    assert found.error == found.rank_0_error < 0.7 * found.mean_error
    assert np.array_equal(found.table[found.is_measured], given[found.is_measured])
    assert np.isnan(np.diag(found.table)).all()
    assert not np.isnan(found.table[~np.eye(12, dtype=bool)]).any()


def test_gains_of_exactly_0_have_no_sign_to_be_right():
    assert np.isnan(complete(np.zeros((4, 4))).sign_accuracy)
    half = np.ones((4, 4))
    half[0] = 0
    assert complete(half).sign_accuracy == 1


def test_a_task_without_a_measurement_has_the_gains_of_tasks_with_like_features():
    generator = np.random.default_rng(0)
    family = np.arange(13) % 2
    table = np.where(family[:, None] == family, 2.0, 2.0) * np.where(family, 1, -1)[:, None] + 0.1
    table = table + 0.1 * generator.normal(size=table.shape)
    table[12] = table[:, 12] = np.nan
    features = np.stack([family, generator.normal(size=13) * 0.1], axis=1)
    assert complete(table, features).table[12, :12].mean() < -1
    assert abs(complete(table).table[12, :12].mean()) < 0.5


def partitions(items):
    if not items:
        yield []
        return
    first, *rest = items
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_the_best_of_all_partitions(seed):
    table = np.random.default_rng(seed).normal(size=(6, 6))
    best = max(group_gain(table, groups) for groups in partitions(list(range(6))))
    assert group_gain(table, best_groups(table)) == pytest.approx(best)


@pytest.mark.parametrize("size", [9, 18])
def test_families_that_help_one_another_are_found_exactly_and_by_clustering(size):
    family = np.arange(size) % 3
    table = np.where(family[:, None] == family, 1.0, -1.0)
    assert best_groups(table) == [[i for i in range(size) if family[i] == k] for k in range(3)]


def test_a_recommendation_is_a_fragment_that_names_branches_weights_and_harm():
    tasks = ["a", "b", "c", "d"]
    table = np.full((4, 4), -0.5)
    for i, j in itertools.permutations((0, 1)):
        table[i, j] = 3.0
    table[:3, 3] = -4.0
    found = recommend(table, tasks)
    assert found.groups == [["a", "b"], ["c"], ["d"]]
    assert found.left_out == ["d"]
    assert found.weights == {"a": 2.0, "b": 2.0, "c": 1.0, "d": 1.0}
    text = found.fragment(datasets={"ab": ["a", "b"], "cd": ["c", "d"]})
    read = yaml.safe_load(text)
    assert read["branches"] == {"group-1": 2, "group-2": 2, "group-3": 2}
    assert read["tasks"]["b"] == {"branch": "group-1"}
    assert read["sampling"] == {"strategy": "proportional", "weights": {"ab": 2.0, "cd": 1.0}}
    assert "# better left out: 'd'" in text
    assert recommend(np.ones((2, 2)), ["a", "b"]).fragment() == ""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: complete(np.zeros((2, 3))), "must be square"),
        (lambda: complete(np.full((4, 4), np.nan)), "needs 3 finite measurements, found 0"),
        (lambda: complete(np.full((4, 4), np.inf)), "needs 3 finite"),
        (lambda: complete(np.ones((3, 3)), np.ones((2, 1))), "one row for each of 3 tasks"),
        (lambda: recommend(np.ones((2, 2)), ["a"]), "expected a row and a column for each task"),
        (lambda: recommend(np.full((2, 2), np.nan), ["a", "b"]), "Task 'a': its gain from 'b' is missing"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [3, 4, 7, 12])
def test_each_task_is_in_a_pair_and_half_of_the_pairs_are_measured(size):
    every = list(itertools.combinations(range(size), 2))
    found = choose_pairs(size, None, 0)
    assert len(found) == len(set(found)) == -(-len(every) // 2)
    least = choose_pairs(size, least_sets("pairs", size), 1)
    for pairs in (found, least):
        assert set(pairs) <= set(every)
        assert {task for pair in pairs for task in pair} == set(range(size))
    assert sorted(choose_pairs(size, 1000, 0)) == every


def test_what_an_interrupted_run_measured_is_the_choice_of_a_smaller_budget():
    for choose, least in ((choose_pairs, 6), (choose_subsets, 4)):
        whole = choose(12, 40, 7)
        assert all(choose(12, wanted, 7) == whole[:wanted] for wanted in range(least, 40))
        assert set(itertools.chain(*whole[:least])) == set(range(12))  # each task is measured at once
        assert whole != choose(12, 40, 8)
        # No order of tasks: those measured first are about as often of high as of low numbers.
        assert 4.5 < np.mean(list(itertools.chain(*whole[:20]))) < 6.5


def test_both_directions_of_a_pair_are_left_out_together():
    # One run measures both, so that each would say what the other is.
    generator = np.random.default_rng(0)
    noise = np.triu(generator.normal(size=(12, 12)), 1)
    found = complete(half_of(noise + noise.T, generator))
    assert not found.is_better_than_mean
    assert 0.8 < found.error / found.mean_error < 1.1
    known = found.table[found.is_measured]
    left = [known[known != value].mean() - value for value in known]
    assert found.mean_error == pytest.approx(np.mean(np.square(left)) ** 0.5)


def families(size, gain, generator, noise=1.0):
    """Return gains of tasks of two families from one another, [T, T]."""
    family = np.arange(size) % 2
    return np.where(family[:, None] == family, gain, 0.0) + noise * generator.normal(size=(size, size))


def test_a_grouping_is_recommended_where_measurements_support_it_and_withheld_where_not():
    generator = np.random.default_rng(0)
    names = [f"task-{number}" for number in range(9)]
    alone = generator.normal(size=(9, 3))
    strong = families(9, 8.0, generator)
    for measured in (strong, half_of(strong, generator)):
        found = Relations.of_gains(measured, names, alone=alone)
        assert found.reasons == []
        groups = found.recommendation.groups
        assert all(len({int(task[-1]) % 2 for task in group}) == 1 for group in groups)
        assert found.verdict == "Groups that should share: " + "; ".join(", ".join(group) for group in groups)
        assert found.to_dict()["recommendation"] == found.verdict
        assert found.fragment.startswith("branches:")
    cases = [
        (families(9, 0.0, generator), "pairs", r"^the groups gain .* and .* by chance alone$"),
        (half_of(families(9, 0.0, generator, 9.0), generator), "pairs", r"^on pairs left out the completion is not"),
        (np.add.outer(np.arange(9.0), np.zeros(9)) + 1, "pairs", r"^the groups gain 0\.0 in all over one"),
        (strong, "gradients", "^gradients say what single steps do"),
    ]
    for measured, measure, reason in cases:
        found = Relations.of_gains(measured, names, measure=measure, alone=None if measure == "gradients" else alone)
        assert re.search(reason, found.reasons[0])
        kept = found.to_dict()
        assert kept["recommendation"].startswith("No grouping is supported by these measurements: ")
        assert (kept["groups"], kept["left_out"], kept["weights"], kept["fragment"]) == ([], [], {}, "")
        assert recommend(found.completion.table, names).groups  # for those who ask all the same


def test_chance_seldom_supports_a_grouping():
    supported = 0
    for seed in range(10):
        generator = np.random.default_rng(seed)
        alone = generator.normal(size=(5, 2))
        spread = steady_spread(alone.var(1, ddof=1))[:, None]
        gains = (generator.normal(size=(5, 5)) - alone.mean(1, keepdims=True)) / spread
        supported += not Relations.of_gains(gains, list("abcde"), alone=alone).reasons
    assert supported <= 2  # 0.5 expected


@pytest.mark.parametrize("size", [4, 5, 12, 30])
def test_subsets_differ_and_hold_each_task_as_often_as_any_other(size):
    fewest = least_sets("subsets", size)
    for wanted in (None, fewest, fewest + 1):
        found = choose_subsets(size, wanted, 0)
        assert len(found) == len(set(found)) == (min(2 * size, {4: 4}.get(size, 99)) if wanted is None else wanted)
        assert {len(subset) for subset in found} <= {3, 4, 5} - {size}
        often = np.bincount(list(itertools.chain(*found)), minlength=size)
        assert often.min() >= 1
        assert often.max() - often.min() <= 2
    assert len(choose_subsets(5, 1000, 0)) == 10 + 5


def test_ridge_regression_finds_the_gains_that_sets_of_tasks_add_up():
    generator = np.random.default_rng(0)
    size = 8
    true = generator.normal(size=(size, size))
    subsets = choose_subsets(size, 40, 0)
    gains = {
        own: {i: sum(true[i, j] for j in own if j != i) + 0.1 * generator.normal() for i in own} for own in subsets
    }
    others = ~np.eye(size, dtype=bool)
    found = subset_gains(size, gains)
    assert np.isnan(np.diag(found)).all()
    assert np.abs(found - true)[others].max() < 0.4
    few = subset_gains(size, {(0, 1, 2): {0: 1.0, 1: -1.0, 2: 0.5}})
    assert np.isfinite(few).sum() == 6  # no gain of tasks that were in no set together
    assert few[0, 1] == pytest.approx(few[0, 2])
    assert few[0, 1] > 0 > few[1, 0]


def run_of(log, tasks):
    return Run("run", dict.fromkeys(tasks), [], {}, {}, {}, log)


def test_gains_of_gradients_are_what_a_step_takes_from_losses_and_not_symmetric():
    generator = np.random.default_rng(0)
    names, sums, log = ["a", "b", "c"], np.zeros((3, 3)), []
    for step in range(1, 5):
        gradients, losses, rate = generator.normal(size=(3, 10)), generator.random(3) + 0.5, 1 / step
        norms = np.linalg.norm(gradients, axis=1)
        entry = {"step": step, "learning_rate": rate}
        entry |= {f"loss/{name}": loss for name, loss in zip(names, losses.tolist(), strict=True)}
        entry |= {f"gradient_norm/{name}": norm for name, norm in zip(names, norms.tolist(), strict=True)}
        for i, j in itertools.combinations(range(3), 2):
            cosine = gradients[i] @ gradients[j] / norms[i] / norms[j]
            entry[f"gradient_cosine/{names[i]}/{names[j]}"] = float(cosine)
        log.append(entry)
        # The loss of row i falls by this part along a step of unit length, to first order.
        sums += rate * gradients @ (gradients / norms[:, None]).T / losses[:, None]
    np.fill_diagonal(sums, np.nan)
    found = gradient_gains(run_of(log, names), names)
    assert found == pytest.approx(sums / np.sqrt(np.nanmean(sums**2)), nan_ok=True)
    turned = gradient_gains(run_of(log, names), names[::-1])
    assert turned == pytest.approx(found[::-1, ::-1], nan_ok=True)
    assert np.isnan(gradient_gains(run_of(log, names), [*names, "new"])[3]).all()
    with pytest.raises(ValueError, match="its log holds no gradients of two of the tasks 'a', 'x'"):
        gradient_gains(run_of(log, names), ["a", "x"])
