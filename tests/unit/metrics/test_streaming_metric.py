"""Laws that every built-in metric obeys."""

import copy
import os
import pickle
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mtl.metrics import METRICS, Accuracy, CocoDetection, Spearman, StreamingMetric
from tests.unit.metrics.metric_cases import add_cut, assert_same_scores, random_rows, state_bytes

every_metric = pytest.mark.parametrize("name", METRICS)


def scores_of(metric: StreamingMetric, rows: int = 40, seed: int = 0) -> dict[str, float]:
    predictions, references = random_rows(metric.input_kind, rows, seed)
    return metric.compute(predictions=predictions, references=references)


@every_metric
def test_is_an_evaluate_metric_under_its_own_name(name: str) -> None:
    metric = METRICS[name]()
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == name
    assert set(metric.features) == {"predictions", "references"}
    assert name in repr(metric)


@every_metric
@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 60), cut=st.integers(1, 60), seed=st.integers(0, 2**16))
def test_any_cut_into_batches_gives_the_same_scores(name: str, rows: int, cut: int, seed: int) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, rows, seed)
    whole = metric.compute(predictions=predictions, references=references)
    add_cut(metric, predictions, references, cut)
    assert_same_scores(metric.compute(), whole)


@every_metric
@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 60), seed=st.integers(0, 2**16))
def test_result_is_summed_up_by_the_keys_that_the_class_names(name: str, rows: int, seed: int) -> None:
    metric = METRICS[name]()
    result = scores_of(metric, rows, seed)
    assert metric.summary_keys
    assert set(metric.headline_keys) <= set(metric.summary_keys) <= set(result)
    for key in result.keys() - set(metric.summary_keys):
        assert key.endswith(tuple(f"_{detail}" for detail in metric.detail_keys)), key


@every_metric
@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 60), seed=st.integers(0, 2**16))
def test_sums_over_rows_give_the_metrics_own_value(name: str, rows: int, seed: int) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, rows, seed)
    result = metric.compute(predictions=predictions, references=references)
    for key in metric.summary_keys:
        statistic = metric.row_statistic(key, 4)
        if statistic is not None:
            added = statistic.rows(predictions, references)
            assert len(added) == rows
            assert statistic.value(added.sum(0, keepdims=True))[0] == pytest.approx(result[key], abs=1e-6), key


@every_metric
def test_example_rows_give_a_result_with_all_keys(name: str) -> None:
    metric = METRICS[name]()
    for labels in (["O", "B-x", "I-x"], ["a", "b"]):
        rows = metric.example_rows(labels)
        assert set(metric.summary_keys) <= metric.compute(predictions=rows, references=rows).keys()


@every_metric
def test_rows_one_at_a_time_give_the_same_scores(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 10, seed=1)
    whole = metric.compute(predictions=predictions, references=references)
    for prediction, reference in zip(predictions, references, strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert len(metric) == 10
    assert_same_scores(metric.compute(), whole)


@every_metric
def test_compute_adds_its_batch_to_those_before(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 20, seed=2)
    whole = metric.compute(predictions=predictions, references=references)
    metric.add_batch(predictions=predictions[:12], references=references[:12])
    assert_same_scores(metric.compute(predictions=predictions[12:], references=references[12:]), whole)


@every_metric
def test_compute_forgets_the_rows(name: str) -> None:
    metric = METRICS[name]()
    scores_of(metric, seed=3)
    assert len(metric) == 0
    assert_same_scores(scores_of(metric, seed=4), scores_of(METRICS[name](), seed=4))


@every_metric
def test_compute_without_rows_is_refused(name: str) -> None:
    metric = METRICS[name]()
    for _ in range(2):
        with pytest.raises(ValueError, match=f"'{name}' has no data"):
            metric.compute()
    with pytest.raises(ValueError, match="has no data"):
        metric.compute(predictions=[], references=[])
    scores_of(metric)
    with pytest.raises(ValueError, match="has no data"):
        metric.compute()


@every_metric
def test_a_missing_side_is_named(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 2, seed=0)
    with pytest.raises(ValueError, match="found no references"):
        metric.compute(predictions=predictions)
    with pytest.raises(ValueError, match="found no predictions"):
        metric.add_batch(predictions=None, references=references)
    with pytest.raises(ValueError, match="found no reference"):
        metric.add(prediction=predictions[0])


@every_metric
def test_different_numbers_of_rows_are_refused_and_change_nothing(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 6, seed=5)
    expected = metric.compute(predictions=predictions, references=references)
    metric.add_batch(predictions=predictions, references=references)
    with pytest.raises(ValueError, match=name):
        metric.add_batch(predictions=predictions[:5], references=references)
    assert_same_scores(metric.compute(), expected)


@pytest.mark.parametrize("name", [name for name, kind in METRICS.items() if kind not in (Spearman, CocoDetection)])
def test_the_state_does_not_grow_with_rows(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 500, seed=6)
    metric.add_batch(predictions=predictions, references=references)
    after_one = state_bytes(metric)
    for _ in range(20):
        metric.add_batch(predictions=predictions, references=references)
    # Larger counts may take a few more bytes each.
    assert state_bytes(metric) <= after_one + 200


def test_spearman_keeps_sixteen_bytes_a_row() -> None:
    metric = Spearman()
    empty = state_bytes(metric)
    metric.add_batch(predictions=np.arange(1000.0), references=np.arange(1000.0))
    assert 16_000 <= state_bytes(metric) - empty <= 16_200


@every_metric
def test_copies_keep_rows_and_go_their_own_way(name: str) -> None:
    metric = METRICS[name]()
    predictions, references = random_rows(metric.input_kind, 12, seed=7)
    expected = metric.compute(predictions=predictions, references=references)
    metric.add_batch(predictions=predictions, references=references)
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert_same_scores(twin.compute(), expected)
    assert len(metric) == 12


@every_metric
def test_instances_share_no_state(name: str) -> None:
    one, other = METRICS[name](), METRICS[name]()
    scores = scores_of(other, seed=8)
    predictions, references = random_rows(one.input_kind, 5, seed=9)
    one.add_batch(predictions=predictions, references=references)
    assert_same_scores(scores_of(other, seed=8), scores)


@every_metric
def test_no_file_is_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for keep_in_memory in (True, False):
        scores_of(METRICS[name](keep_in_memory=keep_in_memory))
    assert os.listdir(tmp_path) == []


def test_methods_without_docstrings_do_not_break_construction() -> None:
    """``python -OO`` strips docstrings, and evaluate appends to them."""

    class Undocumented(Accuracy):
        def add(self, *, prediction: object = None, reference: object = None) -> None:  # type: ignore[override]
            super().add_batch(predictions=[prediction], references=[reference])

    metric = Undocumented()
    metric.add(prediction=1, reference=1)
    assert metric.compute() == {"accuracy": 1.0}


def test_works_in_evaluate_combine() -> None:
    combined = evaluate.combine([METRICS["accuracy"](), METRICS["f1"]()])
    combined.add(prediction=1, reference=1)
    combined.add_batch(predictions=[0, 1], references=[0, 0])
    scores = combined.compute()
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert set(scores) == {"accuracy", "f1_macro", "f1_micro", "f1_weighted"}
    again = combined.compute(predictions=[1, 1], references=[1, 1])
    assert again["accuracy"] == 1.0


def test_only_errors_are_better_when_smaller() -> None:
    smaller = {name for name, kind in METRICS.items() if not kind.greater_is_better}
    losses = {"brier_score", "negative_log_likelihood"}
    assert smaller == {name for name in METRICS if name.endswith("_error")} | losses


@pytest.mark.parametrize("lacking", ["_reset", "_update", "_result"])
def test_a_metric_that_lacks_a_method_is_refused_when_it_is_made(lacking: str) -> None:
    kind = type("Unfinished", (METRICS["accuracy"],), {lacking: vars(StreamingMetric)[lacking]})
    with pytest.raises(TypeError, match=f"Metric Unfinished lacks {lacking}"):
        kind()
