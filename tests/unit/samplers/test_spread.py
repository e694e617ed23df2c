"""Even draws: each dataset's count within two of its share at every position, reached from anywhere."""

import pickle
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.samplers import AdaptiveSampler, DatasetSampler
from hf_mtl.samplers.plan import StepShape, make_plan
from hf_mtl.samplers.plan._spread import Spread, _divided, apportioned, whole_weights
from hf_mtl.samplers.plan._stage import Stage

# Sizes whose ratios are small, large or anything between.
any_size = st.integers(0, 9).flatmap(lambda power: st.integers(1, 10**power))
few_sizes = st.lists(st.integers(0, 25).map(lambda tenths: int(10 ** (tenths / 10))), min_size=1, max_size=9)

#: Weights whose shares lie apart in ways that hypothesis alone would hardly find.
KINDS = {
    "geometric": lambda random, count: np.geomspace(10**9, 1, count),
    "log-normal": lambda random, count: 10**6 * random.lognormal(0, 1.5, count),
    "equal": lambda random, count: np.full(count, 10.0**9),
    "two kinds": lambda random, count: np.repeat([10.0**9, 31_623], [count // 2, count - count // 2]),
    "one alone": lambda random, count: np.append(np.full(count - 1, 10.0**9), 1),
    "half for one": lambda random, count: np.append(random.uniform(1, 3, count - 1), count * 2) * 10**6,
    "one of each power of two": lambda random, count: 2.0 ** -np.minimum(np.arange(count), 40) * 10**13,
    "some": lambda random, count: np.append((random.random(count - 1) < 0.5) * 10.0**9, 10**9),
}


def weights(kind, seed, count):
    """Return int64 [count]: weights of a kind, in a random order."""
    random = np.random.default_rng(seed)
    return random.permutation(KINDS[kind](random, count).astype(np.int64))


def check_stretch(sizes, start, stop):
    """Check the bound in whole numbers at every draw of a stretch, and that draws are numbered one by one."""
    total = sum(sizes)
    datasets, draws = Spread(np.array(sizes)).draw(start, stop)
    for position, (dataset, draw) in enumerate(zip(datasets.tolist(), draws.tolist(), strict=True), start=start):
        # A count is least before a draw, and greatest after it.
        assert draw * total > sizes[dataset] * (position + 1) - 2 * total
        assert (draw + 1) * total < sizes[dataset] * position + 2 * total
    for dataset in set(datasets.tolist()):
        found = draws[datasets == dataset]
        assert found.tolist() == list(range(found[0], found[0] + len(found)))


@settings(max_examples=60)
@given(few_sizes)
def test_each_count_is_within_two_of_its_share_throughout_an_epoch(sizes):
    total = sum(sizes)
    datasets, draws = Spread(np.array(sizes)).draw(0, total)
    counts = [0] * len(sizes)
    for position, dataset in enumerate(datasets.tolist()):
        assert draws[position] == counts[dataset]
        counts[dataset] += 1
        for size, count in zip(sizes, counts, strict=True):
            assert abs(count * total - size * (position + 1)) < 2 * total
    assert counts == sizes


@settings(max_examples=60)
@given(st.lists(any_size, min_size=1, max_size=60), st.floats(0, 1), st.integers(1, 3000))
def test_far_draws_of_datasets_of_a_billion_rows_keep_the_bound(sizes, part, more):
    start = int(part * sum(sizes))
    check_stretch(sizes, start, start + more)


@pytest.mark.parametrize("part", [1e-6, 0.3, 0.999])
@pytest.mark.parametrize("kind", KINDS)
def test_far_draws_of_a_thousand_datasets_keep_the_bound(kind, part):
    sizes = weights(kind, 0, 1000).tolist()
    start = int(part * sum(sizes))
    check_stretch(sizes, start, start + 5000)


@given(few_sizes)
def test_an_epoch_gives_every_dataset_exactly_its_draws_and_then_repeats(sizes):
    total = sum(sizes)
    datasets, draws = Spread(np.array(sizes)).draw(0, 2 * total)
    assert datasets[total:].tolist() == datasets[:total].tolist()
    for dataset, size in enumerate(sizes):
        assert draws[datasets == dataset].tolist() == list(range(2 * size))


@settings(max_examples=30)
@given(st.lists(any_size, min_size=1, max_size=30), st.data())
def test_any_stretch_is_the_same_alone_as_in_the_whole(sizes, data):
    spread, length = Spread(np.array(sizes)), min(sum(sizes), 2000)
    whole = spread.draw(0, length)
    start = data.draw(st.integers(0, length - 1))
    stop = data.draw(st.integers(start, length))
    alone = spread.draw(start, stop)
    assert [found.tolist() for found in alone] == [found[start:stop].tolist() for found in whole]


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_equal_shares_are_turns(count):
    for equal in (np.full(count, 5), whole_weights(np.full(count, 1 / count))):
        datasets, _ = Spread(equal).draw(10**12 * count, (10**12 + 50) * count)
        turns = datasets.reshape(50, count)
        assert (turns == turns[0]).all()
        assert sorted(turns[0].tolist()) == list(range(count))


def test_a_rare_dataset_is_drawn_in_the_middle_of_its_turn():
    datasets, _ = Spread(np.array([9, 1])).draw(0, 30)
    assert np.flatnonzero(datasets == 1).tolist() == [4, 14, 24]


def test_what_is_never_drawn_never_comes():
    datasets, _ = Spread(whole_weights(np.array([0.0, 0.25, 0.75]))).draw(10**6, 10**6 + 1000)
    assert np.bincount(datasets).tolist() == [0, 250, 750]


def test_a_spread_travels_to_other_processes():
    spread = Spread(np.array([3, 5, 11]))
    assert pickle.loads(pickle.dumps(spread)).draw(4, 9)[0].tolist() == spread.draw(4, 9)[0].tolist()


@given(st.integers(0, 2**50), st.integers(1, 2**51), st.integers(0, 2**50), st.integers(1, 2**51))
def test_ratios_are_exact_where_products_overflow(number, factor, plus, divisor):
    if Fraction(number * factor + plus, divisor) < 2**50:
        found = _divided(*(np.array([value]) for value in (number, factor, plus, divisor)))
        assert [int(of[0]) for of in found] == list(divmod(number * factor + plus, divisor))


@given(st.lists(any_size, min_size=1, max_size=1000))
def test_whole_weights_are_as_the_shares(sizes):
    shares = np.array(sizes) / sum(sizes)
    found = whole_weights(shares)
    assert found.min() >= 1
    assert found.sum() == whole_weights(np.full(len(sizes), 1 / len(sizes))).sum()
    assert np.abs(found / found.sum() - shares).max() < 1e-12


@given(st.lists(st.floats(-3, 50), min_size=1, max_size=40))
def test_apportioned_numbers_have_their_sum_and_are_near_what_is_wanted(wanted):
    wanted = np.array(wanted)
    total = max(round(wanted.sum()), 0)
    wanted[0] += total - wanted.sum()
    found = apportioned(wanted, total)
    assert found.sum() == total
    assert found.min() >= 0
    if wanted.min() >= 0:
        assert np.abs(found - wanted).max() < 1


# Shares that change


@st.composite
def changing_shares(draw):
    """Return float64 [S, D] of up to eight stages, some of them 0, and the steps of each stage."""
    count, stages = draw(st.integers(1, 1000) | st.integers(1, 9)), draw(st.integers(2, 8))
    shares = [
        weights(draw(st.sampled_from(sorted(KINDS))), draw(st.integers(0, 99)), count).astype(float)
        for _ in range(stages)
    ]
    lengths = draw(st.lists(st.integers(1, 40), min_size=stages, max_size=stages))
    return np.array([of / of.sum() for of in shares]), lengths


@dataclass(frozen=True)
class Known(DatasetSampler):
    """Shares that are known for every stage."""

    shares: object
    lengths: list

    def starts(self, steps):
        return np.cumsum([0, *self.lengths[:-1]]).tolist()

    def probabilities(self, sizes, step=0, steps=1):
        return self.shares[self.starts(steps).index(step)]


@dataclass(frozen=True)
class Decided(AdaptiveSampler):
    """The same shares, decided one stage ahead; all stages are equally long."""

    shares: object = None

    def probabilities(self, sizes, step=0, steps=1):
        return self.shares[0]

    def begin(self, sizes):
        return {}

    def learn(self, state, seen):
        return state

    def choose(self, state, key):
        return self.shares[min(key[1], len(self.shares) - 1)]


def check_plan(plan, steps, positions):
    counts, owed = (np.zeros(len(plan.shares(0))) for _ in range(2))
    for step in range(steps):
        shares = plan.shares(step)
        datasets, draws = plan.draw(0, step)
        for position in range(positions):
            dataset = datasets[position]
            assert shares[dataset] > 0
            assert draws[position] == counts[dataset]
            counts[dataset] += 1
            owed += shares
            assert np.abs(counts - owed).max() < 2
        yield step


@settings(max_examples=40, deadline=None)
@given(changing_shares(), st.integers(1, 40))
def test_each_count_stays_within_two_where_shares_change(changing, rows):
    shares, lengths = changing
    sizes = {f"{d:04}": 10**6 for d in range(shares.shape[1])}
    plan = make_plan(Known(shares, lengths), sizes, StepShape(rows), max_steps=sum(lengths))
    list(check_plan(plan, sum(lengths) + 3, rows))


@settings(max_examples=40, deadline=None)
@given(changing_shares(), st.integers(1, 40))
def test_so_does_each_where_training_decides_them(changing, rows):
    shares, lengths = changing
    sizes = {f"{d:04}": 10**6 for d in range(shares.shape[1])}
    plan = make_plan(Decided(lengths[0], shares), sizes, StepShape(rows), max_steps=999)
    for step in check_plan(plan, len(shares) * lengths[0], rows):
        plan.end_step(step + 1, {})


@given(st.integers(1, 200), st.integers(0, 99))
def test_a_stage_ends_with_counts_that_are_what_is_owed_rounded(count, seed):
    shares = weights("log-normal", seed, count) / weights("log-normal", seed, count).sum()
    stage = Stage.first(97, shares).next(1000, shares)
    assert np.abs(stage.before + stage.counts - 1097 * shares).max() < 1
