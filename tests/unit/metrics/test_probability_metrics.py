"""Metrics of probabilities against scikit-learn and loops by hand."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.metrics import BrierScore, ExpectedCalibrationError, NegativeLogLikelihood
from tests.unit.metrics.metric_cases import random_rows

METRICS = [BrierScore, ExpectedCalibrationError, NegativeLogLikelihood]


def calibration_error(predictions, references, bins=15):
    """Return the error by the definition, item by item."""
    found = {}
    for row, true in zip(predictions, references, strict=True):
        score = max(row)
        place = next(b for b in range(bins) if score <= (b + 1) / bins + 1e-12)
        found.setdefault(place, []).append((score, true[row.index(score)]))
    return sum(abs(sum(s for s, _ in of) - sum(r for _, r in of)) for of in found.values()) / len(predictions)


@given(st.integers(1, 200), st.integers(0, 2**16))
def test_scores_are_those_of_the_references(rows, seed):
    predictions, references = random_rows("probabilities", rows, seed)
    classes = np.argmax(references, 1)
    both = {"predictions": predictions, "references": references}
    (likelihood,) = NegativeLogLikelihood().compute(**both).values()
    assert likelihood == pytest.approx(sklearn.metrics.log_loss(classes, predictions, labels=range(4)))
    (brier,) = BrierScore().compute(**both).values()
    each = [sklearn.metrics.brier_score_loss(classes == c, np.array(predictions)[:, c], pos_label=1) for c in range(4)]
    assert brier == pytest.approx(sum(each))
    (error,) = ExpectedCalibrationError().compute(**both).values()
    assert error == pytest.approx(calibration_error(predictions, references))


def test_labels_drawn_by_the_probabilities_have_an_error_near_0():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1.0, 20_000)
    right = generator.random(20_000) < sure
    predictions = np.stack([sure, 1 - sure], 1)
    both = {"predictions": predictions, "references": np.stack([right, ~right], 1)}
    assert ExpectedCalibrationError().compute(**both)["expected_calibration_error"] < 0.012


def test_a_probability_of_0_for_what_is_true_is_a_large_finite_number():
    (found,) = NegativeLogLikelihood().compute(predictions=[[1.0, 0.0]], references=[[0, 1]]).values()
    assert found == pytest.approx(708.4, abs=0.1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("predictions", "references", "words"),
    [
        ([[0.5, 0.6]], [[1, 0]], "row 0: expected probabilities with the sum 1 as predictions"),
        ([[0.5, 0.5], [np.nan, 0.5]], [[1, 0], [1, 0]], "row 1: expected probabilities"),
        ([[1.5, -0.5]], [[1, 0]], "expected probabilities"),
        ([[0.5, 0.5]], [0], "shape"),
        ([0.5], [1.0], r"expected predictions of shape \[n, C\]"),
        ([[0.5, 0.5], [1.0]], [[1, 0], [1]], "rows of different lengths"),
    ],
)
def test_what_is_no_probability_is_refused(metric, predictions, references, words):
    with pytest.raises(ValueError, match=words):
        metric().add_batch(predictions=predictions, references=references)
