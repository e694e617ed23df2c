"""Even draws: each dataset's count within one of its share, at every position, reached from anywhere."""

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.samplers import Interleaving, Timeline
from hf_mtl.samplers._timeline import floor_ratio

# Sizes whose ratios are small, large or anything between.
any_counts = st.integers(0, 9).flatmap(lambda power: st.integers(1, 10**power))
few_counts = st.lists(st.integers(0, 25).map(lambda tenths: int(10 ** (tenths / 10))), min_size=1, max_size=9)


@st.composite
def stages(draw):
    """Shares of one to four stages, some of them 0, with their first positions."""
    count = draw(st.integers(1, 9))
    weights = st.lists(st.integers(0, 9).map(lambda weight: weight**4), min_size=count, max_size=count).filter(any)
    shares = [np.array(of) / sum(of) for of in draw(st.lists(weights, min_size=1, max_size=4))]
    lengths = draw(st.lists(st.integers(1, 60), min_size=len(shares) - 1, max_size=len(shares) - 1))
    return shares, np.cumsum([0, *lengths]).tolist()


def check_all(timeline, positions):
    """Check the bound and every way to reach a position, at each of the first positions."""
    spread = Interleaving(timeline)
    datasets, before = spread.stretch(0, positions)
    counts = np.zeros(len(timeline.parts), dtype=np.int64)
    for position in range(positions + 1):
        # In whole numbers, so that there is no rounding to allow for.
        off = [count * timeline.whole - timeline.level(d, position) for d, count in enumerate(counts.tolist())]
        assert max(map(abs, off)) < timeline.whole
        assert spread.counts(position).tolist() == counts.tolist()
        if position < positions:
            assert before[position] == counts[datasets[position]]
            counts[datasets[position]] += 1


@settings(max_examples=60)
@given(few_counts)
def test_each_count_is_within_one_of_its_share_and_known_at_any_position(counts):
    check_all(Timeline.of_counts(counts), min(sum(counts) + 5, 400))


@settings(max_examples=60)
@given(stages())
def test_so_is_each_where_shares_change_or_stop(found):
    shares, starts = found
    timeline = Timeline.of_shares(shares, starts)
    check_all(timeline, starts[-1] + 60)
    owed = sum((stop - start) * of for start, stop, of in zip(starts, starts[1:], shares, strict=False))
    for dataset, expected in enumerate(np.broadcast_to(owed, len(shares[0])).tolist()):
        assert timeline.level(dataset, starts[-1]) / timeline.whole == pytest.approx(expected, abs=1e-9)


def check_far(counts, part, more):
    """Check the bound far from the start, and that walking on and reaching are one."""
    timeline, total = Timeline.of_counts(counts), sum(counts)
    position = min(int(part * total), total - 1)
    spread = Interleaving(timeline)

    def check(found, position):
        off = [count * total - size * position for count, size in zip(found.tolist(), counts, strict=True)]
        assert max(map(abs, off)) < total
        assert found.sum() == position

    found = spread.counts(position)
    check(found, position)
    datasets, before = spread.stretch(position, position + more)
    for d in set(datasets.tolist()):
        assert before[datasets == d].tolist() == list(range(found[d], found[d] + (datasets == d).sum()))
    walked = found + np.bincount(datasets, minlength=len(counts))
    check(walked, position + more)
    assert spread.counts(position + more).tolist() == walked.tolist()


@settings(max_examples=40)
@given(st.lists(any_counts, min_size=1, max_size=60), st.floats(0, 1), st.integers(1, 6000))
def test_far_positions_of_datasets_of_a_billion_rows_keep_the_bound(counts, part, more):
    check_far(counts, part, more)


@pytest.mark.parametrize("part", [1e-6, 0.3, 0.999])
@pytest.mark.parametrize("kind", ["geometric", "log-normal", "equal", "two kinds", "one alone"])
def test_far_positions_of_a_thousand_datasets_keep_the_bound(kind, part):
    sizes = {
        "geometric": np.geomspace(10**9, 1, 1000),
        "log-normal": np.maximum(1, 10**6 * np.random.default_rng(0).lognormal(0, 1.5, 1000)),
        "equal": np.full(1000, 10**9),
        # The costliest to reach: rare ones so many that they are far apart as a group and one by one.
        "two kinds": np.repeat([10**9, 31_623], 500),
        "one alone": np.append(np.full(999, 10**9), 1),
    }[kind]
    check_far(sizes.astype(int).tolist(), part, 5000)


@given(few_counts)
def test_an_epoch_gives_every_dataset_exactly_its_draws_and_then_begins_anew(counts):
    total = sum(counts)
    datasets, draws = Interleaving(Timeline.of_counts(counts)).stretch(0, 2 * total)
    assert np.bincount(datasets[:total], minlength=len(counts)).tolist() == counts
    assert datasets[total:].tolist() == datasets[:total].tolist()
    for i, count in enumerate(counts):
        assert draws[datasets == i].tolist() == list(range(2 * count))


@settings(max_examples=30)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8), st.data())
def test_any_stretch_is_the_same_alone_as_in_the_whole(counts, data):
    timeline, total = Timeline.of_counts(counts), sum(counts)
    whole = Interleaving(timeline).stretch(0, total)
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start, total))
    part = Interleaving(timeline).stretch(start, stop)
    assert [a.tolist() for a in part] == [a[start:stop].tolist() for a in whole]


def test_long_reaches_are_looked_at_in_pieces(monkeypatch):
    counts = [90_000, 4_000, 40, 3, 2]
    timeline = Timeline.of_counts(counts)
    expected = [Interleaving(timeline).counts(position).tolist() for position in range(0, 94_045, 1999)]
    monkeypatch.setattr("hf_mtl.samplers._deadlines._PIECE", 7)
    assert [Interleaving(timeline).counts(position).tolist() for position in range(0, 94_045, 1999)] == expected


def test_equal_shares_are_turns():
    for timeline in (Timeline.of_counts([5] * 7), Timeline.of_shares([np.full(7, 1 / 7)])):
        assert Interleaving(timeline).stretch(0, 7000)[0].tolist() == 1000 * list(range(7))


def test_a_rare_dataset_is_drawn_in_the_middle_of_its_turn():
    datasets, _ = Interleaving(Timeline.of_counts([9, 1])).stretch(0, 30)
    assert np.flatnonzero(datasets == 1).tolist() == [4, 14, 24]


def test_what_is_never_drawn_never_comes():
    timeline = Timeline.of_shares([np.array([0.0, 0.25, 0.75])])
    assert Interleaving(timeline).counts(10**6).tolist() == [0, 250_000, 750_000]


def test_an_interleaving_travels_to_other_processes():
    spread = Interleaving(Timeline.of_counts([3, 5, 11]))
    spread.stretch(0, 9)
    assert pickle.loads(pickle.dumps(spread)).stretch(4, 9)[0].tolist() == spread.stretch(4, 9)[0].tolist()


@given(
    st.lists(st.integers(0, 2**50), min_size=1, max_size=9),
    st.integers(1, 2**51),
    st.integers(-(2**50), 2**50),
    st.integers(1, 2**51),
)
def test_ratios_are_exact_where_products_overflow(numbers, factor, plus, divisor):
    numbers = [number for number in numbers if Fraction(number * factor, divisor) < 2**50] or [0]
    expected = [(number * factor + plus) // divisor for number in numbers]
    assert floor_ratio(np.array(numbers), factor, plus, divisor).tolist() == expected


@settings(max_examples=40)
@given(stages(), st.integers(0, 80), st.integers(0, 80))
def test_draws_open_when_more_than_a_whole_number_is_owed(found, start, length):
    shares, starts = found
    timeline = Timeline.of_shares(shares, starts)
    stop = min([start + length, *(s for s in starts if s > start)])
    expected = [
        next(t for t in range(start, stop + 1) if timeline.level(d, t) > number * timeline.whole)
        for d in range(len(shares[0]))
        for number in range(
            -(-timeline.level(d, start) // timeline.whole), -(-timeline.level(d, stop) // timeline.whole)
        )
    ]
    assert sorted(timeline.passed(range(len(shares[0])), start, stop).tolist()) == sorted(expected)
