"""Metrics of real numbers against scipy and scikit-learn on all rows at once."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_mtl.metrics import METRICS, MeanAbsoluteError, MeanSquaredError, Pearson, Spearman
from tests.unit.metrics.metric_cases import add_cut, assert_same_scores

VALUE_METRICS = [name for name, kind in METRICS.items() if kind.input_kind == "values"]
hundredths = st.integers(-10_000, 10_000).map(lambda number: number / 100)
pairs_of_values = st.lists(st.tuples(hundredths, hundredths), min_size=1, max_size=50)
law = settings(deadline=None, max_examples=60)


def columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [prediction for prediction, _ in pairs], [reference for _, reference in pairs]


@law
@given(pairs_of_values, st.integers(1, 10))
def test_correlations_equal_scipy(pairs: list[tuple[float, float]], cut: int) -> None:
    predicted, true = columns(pairs)
    assume(len(set(predicted)) > 1)
    assume(len(set(true)) > 1)
    for metric, reference in ((Pearson(), scipy.stats.pearsonr), (Spearman(), scipy.stats.spearmanr)):
        add_cut(metric, predicted, true, cut)
        assert_same_scores(metric.compute(), {metric.name: float(reference(predicted, true).statistic)})


@law
@given(pairs_of_values)
def test_errors_equal_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    predicted, true = columns(pairs)
    for metric in (MeanAbsoluteError(), MeanSquaredError()):
        reference = getattr(sklearn.metrics, metric.name)
        expected = {metric.name: float(reference(true, predicted))}
        assert_same_scores(metric.compute(predictions=predicted, references=true), expected)


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_pearson_is_stable_far_from_zero(cut: int) -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=1000)
    predicted, true = 1e8 + noise, 1e8 + noise + generator.normal(size=1000)
    metric = Pearson()
    add_cut(metric, predicted, true, cut)
    # The shifted columns are rounded to about 1e-8, so the reference is theirs.
    expected = scipy.stats.pearsonr(predicted - 1e8, true - 1e8).statistic
    assert metric.compute()["pearson"] == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize("cut", [1, 3, 100])
@pytest.mark.parametrize("constant_side", ["predictions", "references", "both"])
def test_correlation_with_a_constant_is_zero(name: str, cut: int, constant_side: str) -> None:
    # The mean of tenths is inexact, so squared deviations of this constant are not exactly 0.
    constant, varying = [0.1] * 10, [float(number) for number in range(10)]
    predictions = varying if constant_side == "references" else constant
    references = varying if constant_side == "predictions" else constant
    metric = METRICS[name]()
    add_cut(metric, predictions, references, cut)
    assert metric.compute() == {name: 0.0}


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_one_row_has_no_correlation(name: str) -> None:
    assert METRICS[name]().compute(predictions=[1.0], references=[2.0]) == {name: 0.0}


@pytest.mark.parametrize("name", VALUE_METRICS)
def test_integers_and_single_precision_are_taken(name: str) -> None:
    doubles = METRICS[name]().compute(predictions=[1.0, 2.0, 4.0], references=[2.0, 1.0, 8.0])
    singles = METRICS[name]().compute(
        predictions=np.array([1, 2, 4], dtype=np.float32), references=np.array([2, 1, 8], dtype=np.int32)
    )
    assert singles == doubles


@pytest.mark.parametrize("name", VALUE_METRICS)
@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([0.0, float("nan")], "row 3: expected a finite number.*in predictions, found nan"),
        ([float("inf"), 0.0], "row 2: expected a finite number.*in predictions, found inf"),
        ([-1e200, 0.0], "row 2: expected a finite number of at most 1e"),
        (["a", "b"], "expected numbers as predictions"),
        ([0.0, None], "expected numbers as predictions"),
        ([[0.0], [1.0]], r"found shape \[2, 1\].*squeeze"),
        ([0.0], "found 1 predictions for 2 references"),
    ],
)
def test_what_is_no_number_is_refused(name: str, predictions: list[object], message: str) -> None:
    metric = METRICS[name]()
    metric.add_batch(predictions=[0.0, 1.0], references=[0.0, 1.0])
    with pytest.raises(ValueError, match=message):
        metric.add_batch(predictions=predictions, references=[0.0, 1.0])
    assert len(metric) == 2
