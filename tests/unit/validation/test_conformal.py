"""Conformal sets hold the truth as often as was asked for, however wrong the model is."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from hf_mtl.validation import conformal_sets, conformal_threshold


def rows(count, seed, temperature):
    """Return probabilities that are too sure, or not sure enough, and labels drawn by the right ones."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, 5)) * 2
    labels = (generator.random((count, 1)) > softmax(logits, 1).cumsum(1)).sum(1).clip(0, 4)
    return softmax(logits / temperature, 1), labels


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.95])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_coverage_of_held_out_rows_lies_within_its_binomial_interval(coverage, temperature):
    held, total = 0, 0
    for seed in range(40):  # the guarantee is over the rows that it is fitted on, too
        threshold = conformal_threshold(*rows(200, seed, temperature), coverage)
        table, labels = rows(50, 1000 + seed, temperature)
        held += int(conformal_sets(table, threshold)[np.arange(50), labels].sum())
        total += 50
    # Neighbouring rows share a threshold, so the spread is somewhat wider than that of single draws.
    low, high = binom.interval(0.9999, total, coverage)
    assert low <= held <= high + total / 201


def test_too_few_rows_give_all_labels():
    assert conformal_threshold([[0.9, 0.1]] * 5, [0] * 5, 0.9) == 0.0


@pytest.mark.parametrize(
    ("table", "labels", "coverage", "words"),
    [([[0.5, 0.5]], [0, 1], 0.9, "shapes"), ([0.5], [0], 0.9, "shapes"), ([[0.5, 0.5]], [0], 1.0, "below 1")],
)
def test_wrong_inputs_are_refused(table, labels, coverage, words):
    with pytest.raises(ValueError, match=words):
        conformal_threshold(table, labels, coverage)
