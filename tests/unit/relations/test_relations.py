"""Gains of tasks from one another: completion of a low-rank table, exact groups, and fragments that recipes read."""

import itertools

import numpy as np
import pytest
import yaml

from hf_mtl.relations import best_groups, complete, group_gain, recommend


def half_of(table, generator):
    """Return a table with each pair, in both directions, kept or not at random."""
    kept = np.triu(generator.random(table.shape) < 0.5, 1)
    return np.where(kept | kept.T, table, np.nan)


@pytest.mark.parametrize("seed", [0, 1])
def test_completion_recovers_a_table_of_rank_2_with_noise_from_half_of_its_entries(seed):
    generator = np.random.default_rng(seed)
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
    assert found.error == found.rank_0_error < 0.7 * found.spread
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
