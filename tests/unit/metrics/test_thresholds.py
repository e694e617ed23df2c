"""The search for thresholds against all thresholds that there are."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.metrics import MultilabelF1, best_threshold, best_thresholds

#: Few values, so that ties are the rule; both ends of the range among them.
scores = st.one_of(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]), st.floats(0, 1, width=32))
rows = st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=20)


def f1(column, flags, threshold):
    return sklearn.metrics.f1_score(flags, column >= threshold, zero_division=0.0)


def candidates(column):
    """Return a threshold within (0, 1) for each way to cut the scores in two."""
    points = np.unique(column)
    middles = [(a + b) / 2 for a, b in zip([0.0, *points[:-1]], points, strict=True)]
    every = {*points, *np.nextafter(points, 1), *middles, 0.5, np.nextafter(0, 1), np.nextafter(1, 0)}
    return sorted(float(t) for t in every if 0 < t < 1)


@given(rows)
def test_no_threshold_has_a_higher_f1(pairs):
    column, flags = np.array([s for s, _ in pairs]), np.array([f for _, f in pairs])
    found = best_threshold(column, flags)
    assert 0 < found < 1
    best = max(f1(column, flags, t) for t in candidates(column))
    assert f1(column, flags, found) == pytest.approx(best, abs=1e-12)


@given(rows)
def test_threshold_lies_midway_and_nearest_to_a_half_of_those_as_good(pairs):
    column, flags = np.array([s for s, _ in pairs]), np.array([f for _, f in pairs])
    found = best_threshold(column, flags)
    points = np.unique(column)
    cuts = [(a + b) / 2 for a, b in zip([0.0, *points[:-1]], points, strict=True) if a < (a + b) / 2 < 1]
    by_f1 = {t: f1(column, flags, t) for t in cuts}
    best = max(by_f1.values(), default=0.0)
    if best == 0.0:
        assert found == 0.5
    else:
        equal = [t for t, value in by_f1.items() if value == pytest.approx(best, abs=1e-12)]
        assert found in equal
        assert abs(found - 0.5) == min(abs(t - 0.5) for t in equal)


@given(st.lists(st.tuples(*[scores] * 3, *[st.booleans()] * 3), min_size=1, max_size=8))
def test_one_threshold_for_all_has_the_best_micro_f1_and_one_each_the_best_macro_f1(table):
    values = np.array([row[:3] for row in table])
    flags = np.array([row[3:] for row in table])

    def score(key, thresholds):
        return MultilabelF1().compute(predictions=values >= thresholds, references=flags)[key]

    found = best_thresholds(values, flags, "global")
    assert score("f1_micro", found) == max(score("f1_micro", t) for t in [found, *candidates(values)])
    each = best_thresholds(values, flags)
    for label, threshold in enumerate(each):
        assert threshold == best_threshold(values[:, label], flags[:, label])
    assert score("f1_macro", np.array(each)) >= score("f1_macro", found) - 1e-12


def test_label_without_a_row_keeps_a_half():
    assert best_thresholds([[0.9, 0.3], [0.2, 0.4]], [[1, 0], [0, 0]]) == [pytest.approx(0.55), 0.5]


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken():
    # One of two positives alone, or both with two mistakes: F1 is 2/3 either way.
    assert best_threshold([0.99, 0.8, 0.7, 0.5], [1, 0, 0, 1]) == 0.25
    assert best_threshold([0.6, 0.1, 0.09, 0.05], [1, 0, 0, 1]) == 0.35


@pytest.mark.parametrize("low", [0.3, float(np.nextafter(0.3, 1))])
def test_middle_of_neighbouring_floats_still_parts_them(low):
    # Of one of the two pairs it rounds down, of the other up.
    high = float(np.nextafter(low, 1))
    assert best_threshold([low, high], [0, 1]) == high


@pytest.mark.parametrize(
    ("column", "flags", "words"),
    [
        ([0.5, float("nan")], [0, 1], r"in \[0, 1\]; NaN"),
        ([0.5, 2.0], [0, 1], r"in \[0, 1\]"),
        ([0.5], [0, 1], "two columns of one length"),
        ([[0.5]], [[1]], "two columns of one length"),
    ],
)
def test_what_is_no_column_of_scores_is_refused(column, flags, words):
    with pytest.raises(ValueError, match=words):
        best_threshold(column, flags)
