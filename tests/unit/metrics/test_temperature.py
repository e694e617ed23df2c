"""The temperature of probabilities: what it finds, and what it leaves alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from hf_mtl.metrics import best_temperature, negative_log_likelihoods, threshold_at_temperature


def drawn(rows, classes, temperature, seed, function="softmax"):
    """Return logits, and labels drawn from what they say at a temperature."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 3
    if function == "sigmoid":
        return logits, (generator.random(logits.shape) < expit(logits / temperature)).astype(float)
    chances = softmax(logits / temperature, axis=1).cumsum(1)
    return logits, (generator.random((rows, 1)) > chances).sum(1).clip(0, classes - 1)


@pytest.mark.parametrize("function", ["softmax", "sigmoid"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0])
def test_the_temperature_that_labels_were_drawn_at_is_found(function, temperature):
    found = [best_temperature(*drawn(4000, 4, temperature, seed, function), function) for seed in range(5)]
    error = np.std(found, ddof=1) / np.sqrt(5)
    assert abs(np.mean(found) - temperature) < max(4 * error, 0.02 * temperature)


def test_what_was_calibrated_has_temperature_1():
    logits, labels = drawn(2000, 3, 2.5, seed=1)
    assert best_temperature(logits / best_temperature(logits, labels), labels) == pytest.approx(1.0, abs=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.2, 20))
def test_no_other_temperature_makes_the_labels_likelier(seed, classes, other):
    logits, labels = drawn(50, classes, 1.5, seed)
    best, targets = best_temperature(logits, labels), np.eye(classes)[labels]
    if best != 1.0:  # where all are right, there is no best
        losses = [negative_log_likelihoods(logits / t, targets).mean() for t in (best, other)]
        assert losses[0] <= losses[1] + 1e-6


def test_likelihoods_are_those_of_scikit_learn():
    from sklearn.metrics import log_loss

    logits, labels = drawn(200, 4, 1.0, seed=3)
    losses = negative_log_likelihoods(logits, np.eye(4)[labels])
    assert losses.mean() == pytest.approx(log_loss(labels, softmax(logits, axis=1), labels=range(4)))
    logits, flags = drawn(200, 3, 1.0, seed=4, function="sigmoid")
    each = [log_loss(flags[:, c], expit(logits[:, c])) for c in range(3)]
    assert negative_log_likelihoods(logits, flags, "sigmoid").mean() == pytest.approx(np.mean(each))


def test_soft_targets_are_fitted_by_their_expectation():
    logits, _ = drawn(500, 3, 1.0, seed=5)
    assert best_temperature(logits, softmax(logits / 2.2, axis=1)) == pytest.approx(2.2, abs=1e-3)


@pytest.mark.parametrize(
    ("logits", "targets", "function"),
    [([[3.0, 0.0], [0.0, 1.0]], [0, 1], "softmax"), ([[3.0, -1.0]], [[1, 0]], "sigmoid")],
)
def test_items_that_are_all_right_leave_the_temperature_at_1(logits, targets, function):
    assert best_temperature(logits, targets, function) == 1.0


def test_logits_that_say_nothing_end_at_the_bound():
    logits = np.array([[5.0, -5.0], [-5.0, 5.0]] * 10)
    assert best_temperature(logits, [1, 0] * 10) == pytest.approx(100)
    assert best_temperature(logits * 1e30, [1, 0] * 10) == pytest.approx(100)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ([[1.0, 2.0]], [0, 1], "found shapes"),
        (np.zeros((0, 2)), [], "at least one item"),
        ([[np.nan, 1.0]], [0], "finite"),
        ([1.0], [0], "found shapes"),
    ],
)
def test_wrong_inputs_are_refused(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        best_temperature(logits, targets)


@given(st.floats(0.01, 0.99), st.floats(0.01, 100), st.floats(-20, 20))
def test_mapped_thresholds_decide_alike(threshold, ratio, logit):
    odds = np.log(threshold / (1 - threshold))
    if abs(odds - logit) > 1e-6 * ratio:
        assert (expit(logit / ratio) >= threshold_at_temperature(threshold, ratio)) == (logit >= odds)
