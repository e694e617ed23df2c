import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hf_mtl.data import MixtureBatchSampler
from hf_mtl.samplers import ProportionalSampler, make_sampler
from hf_mtl.samplers.plan import permute

# Few rows: every batch of an epoch is drawn. Far draws of many rows have their own tests.
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=8)


def named(sizes):
    return {f"{number:04}": size for number, size in enumerate(sizes)}


def sampler(sizes, batch_size=4, **kwargs):
    return MixtureBatchSampler(named(sizes), ProportionalSampler(), batch_size, **kwargs)


@given(st.integers(1, 3000), st.tuples(st.integers(), st.integers()))
def test_permutation_reaches_every_row_once(size, key):
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


def test_permutations_of_different_keys_differ():
    first, second = (permute(np.arange(100), 100, (key,)).tolist() for key in (1, 2))
    assert first != second
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 10


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 9)), min_size=1, max_size=20))
def test_rows_of_many_permutations_at_once_equal_those_of_each_alone(asked):
    sizes, draws, keys = (np.array(column) for column in zip(*asked, strict=True))
    together = permute(draws % sizes, sizes, key=(3, keys))
    alone = [permute(np.array([d % s]), s, key=(3, k))[0] for s, d, k in asked]
    assert together.tolist() == alone


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_every_order_of_a_few_rows_comes_equally_often(size):
    keys = np.repeat(np.arange(6000), size)
    orders = permute(np.tile(np.arange(size), 6000), size, key=(1, keys)).reshape(6000, size)
    _, found = np.unique(orders, axis=0, return_counts=True)
    expected, freedom = 6000 / math.factorial(size), math.factorial(size) - 1
    assert len(found) == freedom + 1
    # Chi square's mean is its degrees of freedom, its variance twice as much: five standard deviations.
    assert ((found - expected) ** 2 / expected).sum() < freedom + 5 * (2 * freedom) ** 0.5


def test_permutation_of_a_billion_rows_needs_no_table():
    rows = permute(np.arange(10**9 - 1000, 10**9), 10**9, (7,))
    assert len(set(rows.tolist())) == 1000
    # A uniform sample of 1,000 has its mean within 5 standard errors of the middle.
    assert abs(rows.mean() / 1e9 - 0.5) < 5 * 0.2887 / 1000**0.5


def test_sampler_holds_no_more_for_a_billion_rows_than_for_a_thousand():
    def held(rows):
        sampler([rows] * 1000).batch(0, 0)  # numpy's own caches
        tracemalloc.start()
        kept = sampler([rows] * 1000)
        kept.batch(0, len(kept) - 1)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    assert held(10**6) < held(1) + 100_000 < 2_000_000


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@given(sizes=sizes, batch_size=st.integers(1, 17), seed=st.integers(0, 5))
@example(sizes=[400, 1, 17, 333], batch_size=7, seed=1)
def test_every_row_comes_once_an_epoch(batching, sizes, batch_size, seed):
    batches = list(sampler(sizes, batch_size, seed=seed, batching=batching))
    assert sorted(row for batch in batches for row in batch) == list(range(sum(sizes)))


@given(sizes=sizes, batch_size=st.integers(1, 17))
def test_homogeneous_batches_hold_rows_of_one_dataset(sizes, batch_size):
    starts = np.cumsum([0, *sizes])
    for batch in sampler(sizes, batch_size, batching="homogeneous"):
        assert len(set(np.searchsorted(starts, batch, side="right"))) == 1


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
@given(sizes=sizes, epoch=st.integers(0, 3))
def test_same_seed_repeats_and_any_batch_is_reached_alone(batching, sizes, epoch):
    first, second = (sampler(sizes, seed=3, batching=batching) for _ in range(2))
    first.set_epoch(epoch)
    assert list(first) == [second.batch(epoch, step) for step in reversed(range(len(second)))][::-1]


@given(sizes=sizes, batch_size=st.integers(1, 6), accumulation=st.integers(1, 5))
def test_rows_of_a_homogeneous_step_do_not_depend_on_how_it_is_cut(sizes, batch_size, accumulation):
    whole = list(sampler(sizes, batch_size * accumulation, batching="homogeneous"))
    cut = list(sampler(sizes, batch_size, batching="homogeneous", accumulation=accumulation))
    assert len(cut) == len(whole) * accumulation
    for step, rows in enumerate(whole):
        batches = cut[step * accumulation : (step + 1) * accumulation]
        assert [row for batch in batches for row in batch if row >= 0] == rows
        assert all(0 < len(batch) <= batch_size for batch in batches)


def test_epochs_and_seeds_differ():
    one = sampler([50, 50], seed=1)
    assert one.batch(0, 0) != one.batch(1, 0)
    assert one.batch(0, 0) != sampler([50, 50], seed=2).batch(0, 0)


@given(sizes=sizes, batch_size=st.integers(1, 9), world_size=st.integers(2, 4))
def test_ranks_share_what_one_process_would_see_with_a_larger_batch(sizes, batch_size, world_size):
    alone = list(sampler(sizes, batch_size * world_size))
    ranks = [list(sampler(sizes, batch_size, rank=r, world_size=world_size)) for r in range(world_size)]
    assert {len(rank) for rank in ranks} == {len(alone)}
    for step, batch in enumerate(alone):
        # A negative number is a filler without labels, for a rank that has no row of the last batch.
        assert [row for rank in ranks for row in rank[step] if row >= 0] == batch
        assert all(rank[step] for rank in ranks)


@pytest.mark.parametrize("batching", ["mixed", "homogeneous"])
def test_skipping_the_last_batch_leaves_only_full_ones(batching):
    batches = list(sampler([10, 7], 4, batching=batching, skip_last=True))
    assert len(batches) == (4 if batching == "mixed" else 3)
    assert {len(batch) for batch in batches} == {4}


def test_batch_sampler_has_no_attribute_that_accelerate_mistakes():
    assert not {"batch_size", "drop_last", "sampler"} & set(dir(sampler([3])))


def test_unknown_strategy_names_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'proportional'"):
        make_sampler("proportionl")


def test_unknown_batching_is_refused():
    with pytest.raises(ValueError, match="batching"):
        sampler([3], batching="mixd")
