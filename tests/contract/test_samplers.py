"""Every sampler of the table keeps the same laws."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.data import MixtureBatchSampler
from hf_mtl.samplers import SAMPLERS, AdaptiveSampler, make_sampler
from hf_mtl.samplers._base import normalised
from hf_mtl.samplers.plan import AdaptivePlan, StagePlan, StepShape, make_plan

STEPS = 6  # of an adaptive stage


def options_of(strategy, names):
    """Return options under which a strategy does more than its defaults do."""
    rising = {name: number + 1 for number, name in enumerate(names)}
    return {
        "fixed": {"shares": rising},
        "schedule": {"schedule": [[0, rising], [0.3, dict.fromkeys(names, 1)], [0.6, rising]]},
        "capped": {"limit": 50},
        "annealed": {"stages": 7},
        "bandit": {"interval": STEPS},
        "difficulty": {"interval": STEPS},
    }.get(strategy, {})


def named(sizes):
    return {f"d{number:04}": size for number, size in enumerate(sizes)}


def made(strategy, names):
    return make_sampler(strategy, options_of(strategy, names))[0]


def batches_of(strategy, sizes, batch_size=4, **kwargs):
    return MixtureBatchSampler(sizes, made(strategy, sorted(sizes)), batch_size, **kwargs)


def played(plan, until):
    """Yield each step's datasets, while an adaptive plan sees losses that depend on its draws alone."""
    steps = plan.epoch_units // plan._shape.step_units
    for step in range(until):
        epoch, inside = divmod(step, steps)
        units = range(inside * plan._shape.step_units, (inside + 1) * plan._shape.step_units)
        drawn = np.concatenate([plan.draw(epoch, unit)[0] for unit in units])
        yield step, drawn
        if isinstance(plan, AdaptivePlan):
            tell(plan, step, drawn)


def tell(plan, step, drawn):
    names = plan.names
    plan.end_step(step + 1, {names[d]: 3.0 / (1 + d) - 0.001 * step * (d + 1) for d in set(drawn.tolist())})
    if step % 4 == 0:
        plan.see_scores({name: 0.1 * number + 0.01 * step for number, name in enumerate(names[:9])})


ALL = pytest.mark.parametrize("strategy", SAMPLERS)
BOTH = pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
few_sizes = st.lists(st.integers(1, 60), min_size=1, max_size=6)
any_sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=30)


@ALL
@given(sizes=any_sizes, step=st.integers(0, 99))
def test_shares_form_a_distribution(strategy, sizes, step):
    sizes = named(sizes)
    sampler = made(strategy, sizes)
    starts = sampler.starts(100)
    assert starts[0] == 0
    assert sorted(set(starts)) == starts
    assert starts[-1] < 100
    shares = sampler.probabilities(sizes, max(start for start in starts if start <= step), 100)
    assert shares.shape == (len(sizes),)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)


@ALL
@pytest.mark.parametrize("count", [1, 1000])
def test_one_and_a_thousand_datasets_of_a_billion_rows_are_ready_at_once(strategy, count):
    sizes = named(np.geomspace(10**9, 1, count).astype(int).tolist())
    sampler = batches_of(strategy, sizes, 32, epochs=3, batching="mixed")
    assert len(sampler.batch(0, 0)) == 32
    if not isinstance(sampler.plan, AdaptivePlan):
        last = sampler.batch(2, len(sampler) - 1)
        assert 0 < len(last) <= 32


@ALL
@BOTH
@settings(max_examples=4)
@given(sizes=few_sizes, seed=st.integers(0, 3))
def test_the_same_seed_repeats_and_another_does_not_change_the_counts(strategy, batching, sizes, seed):
    sizes = named(sizes)
    one, two, other = (batches_of(strategy, sizes, seed=s, batching=batching, epochs=2) for s in (seed, seed, seed + 1))
    for step in reversed(range(min(len(one), STEPS))):
        assert one.batch(0, step) == two.batch(0, step)
        starts = np.cumsum([0, *sizes.values()])
        found = [np.searchsorted(starts, s.batch(0, step), side="right").tolist() for s in (one, other)]
        assert found[0] == found[1]


@ALL
@BOTH
@settings(max_examples=5)
@given(sizes=st.lists(st.integers(1, 99), min_size=1, max_size=12), accumulation=st.integers(1, 3))
def test_each_count_is_within_two_of_its_share_at_every_prefix(strategy, batching, sizes, accumulation):
    sizes = named(sorted(sizes))  # as plans order them
    shape = StepShape(4, accumulation, mixed=batching == "mixed")
    plan = make_plan(made(strategy, sizes), sizes, shape, epochs=3)
    counts, owed = np.zeros(len(sizes)), np.zeros(len(sizes))
    # The last steps of an epoch may be short where each row comes once.
    is_epoch = not isinstance(plan, StagePlan)
    steps = plan.epoch_units // shape.step_units * (1 if is_epoch else 3)
    whole_steps = normalised(np.ceil(np.array(list(sizes.values())) / shape.step_rows))
    for step, drawn in played(plan, min(steps, 10 * STEPS)):
        shares = whole_steps if is_epoch and not shape.mixed else plan.shares(step)
        for dataset in drawn if shape.mixed else drawn[:1]:
            counts[dataset] += 1
            owed += shares
            assert np.abs(counts - owed).max() < 2


# Those that learn decide a stage at a time: there is nothing far.
@pytest.mark.parametrize("strategy", [name for name, kind in SAMPLERS.items() if not issubclass(kind, AdaptiveSampler)])
@BOTH
@pytest.mark.parametrize("count", [2, 1000])
def test_far_draws_of_a_billion_rows_are_within_two_of_their_share(strategy, batching, count):
    sizes = named(np.geomspace(1, 10**9, count).astype(int).tolist())
    shape = StepShape(32, mixed=batching == "mixed")
    plan = make_plan(made(strategy, sizes), sizes, shape, epochs=2)
    is_epoch = not isinstance(plan, StagePlan)
    whole_steps = normalised(np.ceil(np.array(list(sizes.values())) / shape.step_rows))
    starts = [0] if is_epoch else [stage.start // shape.step_positions for stage in plan._stages]
    # An epoch of every row is counted from its start.
    steps = plan.epoch_units // 2 if is_epoch else 2 * plan.epoch_units
    for step in (steps // 3, steps - 1):
        began = [start for start in starts if start <= step]
        owed = np.zeros(count)
        for start, stop in pairwise([*began, step]):
            shares = whole_steps if is_epoch and not shape.mixed else plan.shares(start)
            owed += (stop - start) * shape.step_positions * shares
        datasets, draws = plan.draw(0, step)
        size = 1 if shape.mixed else shape.step_rows
        for dataset in set(datasets.tolist()):
            before = draws[datasets == dataset].min() / size
            assert abs(before - owed[dataset]) < 2 + 0.01  # of float64 shares of 10^11 rows


@ALL
@BOTH
@settings(max_examples=4)
@given(sizes=few_sizes, accumulation=st.integers(1, 3), start=st.integers(0, 4 * STEPS))
def test_resuming_equals_not_stopping(strategy, batching, sizes, accumulation, start):
    sizes = named(sorted(sizes))
    shape = StepShape(4, accumulation, mixed=batching == "mixed")

    def plan():
        return make_plan(made(strategy, sizes), sizes, shape, epochs=40, seed=5)

    def rows(plan, step):
        units = plan.epoch_units
        return [
            [a.tolist() for a in plan.draw(*divmod(step * shape.step_units + u, units))]
            for u in range(shape.step_units)
        ]

    whole, resumed = plan(), plan()
    if not isinstance(whole, AdaptivePlan):
        # Nothing is remembered, so there is nothing to resume: any unit is a function of its number.
        assert [whole.draw(1, u)[1].tolist() for u in range(whole.epoch_units)] == [
            plan().draw(1, u)[1].tolist() for u in reversed(range(whole.epoch_units))
        ][::-1]
        return
    expected, saved = [], None
    for step, _ in played(whole, start + 2 * STEPS):
        if step == start:
            saved = json.dumps(whole.state(), allow_nan=False)
        expected.append(rows(whole, step))
    resumed.load(json.loads(saved))
    for step in range(start, start + 2 * STEPS):
        assert rows(resumed, step) == expected[step]
        tell(resumed, step, np.array([d for unit in expected[step] for d in unit[0]]))
    assert resumed.state() == whole.state()


@ALL
@BOTH
@settings(max_examples=4)
@given(sizes=few_sizes)
def test_a_dataset_is_used_up_before_a_row_comes_again(strategy, batching, sizes):
    sizes = named(sizes)
    sampler = batches_of(strategy, sizes, 3, batching=batching, epochs=4)
    starts = np.cumsum([0, *sizes.values()])
    seen = {number: [] for number in range(len(sizes))}
    for epoch in range(4):
        for step in range(len(sampler)):
            if isinstance(sampler.plan, AdaptivePlan) and epoch * len(sampler) + step >= 2 * STEPS:
                break
            for row in sampler.batch(epoch, step):
                dataset = int(np.searchsorted(starts, row, side="right")) - 1
                seen[dataset].append(row - int(starts[dataset]))
    for number, size in enumerate(sizes.values()):
        for first in range(0, len(seen[number]), size):
            passed = seen[number][first : first + size]
            assert len(set(passed)) == len(passed)
            assert len(passed) < size or sorted(passed) == list(range(size))


@ALL
@BOTH
@settings(max_examples=4)
@given(sizes=few_sizes, batch_size=st.integers(1, 5))
def test_two_ranks_together_are_one_with_twice_the_batch(strategy, batching, sizes, batch_size):
    sizes = named(sizes)
    alone = batches_of(strategy, sizes, 2 * batch_size, batching=batching, epochs=2)
    ranks = [batches_of(strategy, sizes, batch_size, batching=batching, epochs=2, rank=r, world_size=2) for r in (0, 1)]
    assert {len(rank) for rank in ranks} == {len(alone)}
    for step in range(min(len(alone), STEPS)):
        assert [row for rank in ranks for row in rank.batch(0, step) if row >= 0] == alone.batch(0, step)


@ALL
@BOTH
@settings(max_examples=4)
@given(sizes=st.lists(st.integers(1, 4) | st.integers(1, 99), min_size=1, max_size=6), data=st.data())
def test_neither_order_nor_names_change_draws_but_names_between_equal_sizes(strategy, batching, sizes, data):
    sizes = named(sizes)
    options = options_of(strategy, sizes)
    order = data.draw(st.permutations(list(sizes)))
    renamed = {name: f"x{number}" for number, name in enumerate(order)}
    for size in set(sizes.values()):
        equal = sorted(name for name in sizes if sizes[name] == size)
        renamed |= dict(zip(equal, sorted(renamed[name] for name in equal), strict=True))

    def rows_drawn(sizes, options):
        sampler = MixtureBatchSampler(sizes, make_sampler(strategy, options)[0], 4, batching=batching, epochs=2)
        names, starts = list(sizes), np.cumsum([0, *sizes.values()])
        found = []
        for step in range(min(len(sampler), STEPS)):
            datasets = np.searchsorted(starts, sampler.batch(0, step), side="right") - 1
            found.append(
                [(names[d], row - int(starts[d])) for d, row in zip(datasets, sampler.batch(0, step), strict=True)]
            )
        return found

    expected = rows_drawn(sizes, options)
    assert rows_drawn({name: sizes[name] for name in order}, options) == expected

    def with_names(value):
        if isinstance(value, dict):
            return {renamed[name]: share for name, share in value.items()}
        return [with_names(v) for v in value] if isinstance(value, list) else value

    options = {key: with_names(value) for key, value in options.items()}
    found = rows_drawn({renamed[name]: size for name, size in sizes.items()}, options)
    assert found == [[(renamed[name], row) for name, row in step] for step in expected]


@BOTH
def test_of_datasets_of_equal_size_the_name_decides(batching):
    def batches(*names):
        sampler = MixtureBatchSampler(dict.fromkeys(names, 9), made("uniform", []), 4, seed=3, batching=batching)
        batches = [sampler.batch(0, step) for step in range(len(sampler))]
        return [[(names[row // 9], row % 9) for row in batch] for batch in batches]

    first = batches("a", "b")
    assert batches("b", "a") == first
    other = {"a": "b", "b": "a"}
    # Renamed to what sorts the other way round, each draws what the other drew.
    assert batches("a", "A") == [[({"a": "A", "b": "a"}[name], row) for name, row in batch] for batch in first]
    assert first != [[(other[name], row) for name, row in batch] for batch in first]


@pytest.mark.parametrize("strategy", [name for name, kind in SAMPLERS.items() if issubclass(kind, AdaptiveSampler)])
def test_what_is_not_decided_yet_is_refused_not_guessed(strategy):
    plan = make_plan(made(strategy, []), {"a": 50, "b": 70}, StepShape(4), epochs=40)
    plan.draw(0, 2 * STEPS - 1)
    with pytest.raises(IndexError, match="decided one ahead"):
        plan.draw(0, 2 * STEPS)
