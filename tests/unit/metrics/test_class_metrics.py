"""Metrics of class ids against scikit-learn on all rows at once."""

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.metrics import F1, METRICS, Accuracy, MatthewsCorrelation, QuadraticWeightedKappa
from tests.unit.metrics.metric_cases import assert_same_scores

CLASS_METRICS = [name for name, kind in METRICS.items() if kind.input_kind == "classes"]
pairs_of_ids = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60)
law = settings(deadline=None, max_examples=60)


def columns(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [prediction for prediction, _ in pairs], [reference for _, reference in pairs]


@law
@given(pairs_of_ids)
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
def test_accuracy_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, true = columns(pairs)
    expected = {"accuracy": sklearn.metrics.accuracy_score(true, predicted)}
    assert_same_scores(Accuracy().compute(predictions=predicted, references=true), expected)


@law
@given(pairs_of_ids)
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
def test_f1_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, true = columns(pairs)
    expected = {
        f"f1_{average}": sklearn.metrics.f1_score(true, predicted, average=average, zero_division=0)
        for average in ("macro", "micro", "weighted")
    }
    assert_same_scores(F1().compute(predictions=predicted, references=true), expected)


@law
@given(pairs_of_ids)
@pytest.mark.filterwarnings("ignore:A single label was found:UserWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
def test_matthews_correlation_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, true = columns(pairs)
    expected = {"matthews_correlation": sklearn.metrics.matthews_corrcoef(true, predicted)}
    assert_same_scores(MatthewsCorrelation().compute(predictions=predicted, references=true), expected)


@law
@given(pairs_of_ids)
def test_quadratic_weighted_kappa_equals_its_formula(pairs: list[tuple[int, int]]) -> None:
    predicted, true = columns(pairs)
    observed = sum((i - j) ** 2 for i, j in pairs) / len(pairs)
    chance = sum((i - j) ** 2 for i in predicted for j in true) / len(pairs) ** 2
    expected = {"quadratic_weighted_kappa": 1 - observed / chance if chance else 1.0}
    assert_same_scores(QuadraticWeightedKappa().compute(predictions=predicted, references=true), expected)


@law
@given(pairs_of_ids)
def test_quadratic_weighted_kappa_equals_scikit_learn_on_the_whole_scale(pairs: list[tuple[int, int]]) -> None:
    predicted, true = columns([*pairs, (0, 1), (1, 0)])
    kappa = sklearn.metrics.cohen_kappa_score(true, predicted, weights="quadratic", labels=range(7))
    found = QuadraticWeightedKappa().compute(predictions=predicted, references=true)
    assert_same_scores(found, {"quadratic_weighted_kappa": kappa})


def test_kappa_of_a_single_class_everywhere_is_one_and_of_two_constants_zero() -> None:
    metric = QuadraticWeightedKappa()
    assert metric.compute(predictions=[2, 2], references=[2, 2]) == {"quadratic_weighted_kappa": 1.0}
    assert metric.compute(predictions=[1, 1], references=[2, 2]) == {"quadratic_weighted_kappa": 0.0}


def test_matthews_correlation_of_a_constant_prediction_is_zero() -> None:
    assert MatthewsCorrelation().compute(predictions=[1, 1], references=[1, 0]) == {"matthews_correlation": 0.0}


@pytest.mark.parametrize("name", CLASS_METRICS)
def test_many_classes_stay_silent(name: str) -> None:
    ids = list(range(100))
    (first, *_) = METRICS[name]().compute(predictions=ids, references=ids).values()
    assert first == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda ids: np.array(ids, dtype=np.uint8)])
def test_lists_arrays_and_tensors_are_taken_alike(kind: object) -> None:
    assert callable(kind)
    scores = Accuracy().compute(predictions=kind([0, 1, 1]), references=kind([0, 1, 0]))
    assert scores == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize("name", CLASS_METRICS)
@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([0.0, 1.0], r"expected class ids \(integers\) as predictions, found data type float64"),
        (["a", "b"], "expected class ids"),
        ([0, None], "expected class ids"),
        ([[0.1, 0.9], [0.3, 0.7]], r"expected predictions of shape \[R\].*found shape \[2, 2\].*argmax"),
        ([[0], [1, 2]], "rows of different lengths"),
        ([0, -100], "row 3: expected a class id of 0 or more in predictions, found -100"),
        ([0, 1, 1], "found 3 predictions for 2 references"),
    ],
)
def test_what_is_no_class_id_is_refused(name: str, predictions: list[object], message: str) -> None:
    metric = METRICS[name]()
    metric.add_batch(predictions=[0, 1], references=[0, 1])
    with pytest.raises(ValueError, match=message):
        metric.add_batch(predictions=predictions, references=[0, 1])
    assert len(metric) == 2
