"""Metrics of several numbers a row against each column alone."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from hf_mtl.metrics import METRICS, PerTarget
from tests.unit.metrics.metric_cases import add_cut

NAMES = ["valence", "arousal", "power"]
numbers = st.integers(-100, 100).map(lambda n: n / 10)
rows = st.lists(
    st.tuples(st.tuples(*[numbers] * 3), st.tuples(*[st.one_of(st.none(), numbers)] * 3)), min_size=1, max_size=20
)
REFERENCES = {
    "pearson": lambda x, y: scipy.stats.pearsonr(x, y).statistic,
    "spearman": lambda x, y: scipy.stats.spearmanr(x, y).statistic,
    "mean_absolute_error": sklearn.metrics.mean_absolute_error,
    "mean_squared_error": sklearn.metrics.mean_squared_error,
}


@pytest.mark.parametrize("name", REFERENCES)
@given(table=rows, cut=st.integers(1, 7))
def test_each_target_is_scored_by_itself_without_its_nulls(name, table, cut):
    predictions, references = [list(map(list, side)) for side in zip(*table, strict=True)]
    metric = PerTarget(METRICS[name], NAMES)
    add_cut(metric, predictions, references, cut)
    kept = {
        target: [(p[i], r[i]) for p, r in zip(predictions, references, strict=True) if r[i] is not None]
        for i, target in enumerate(NAMES)
    }
    kept = {target: pairs for target, pairs in kept.items() if pairs}
    if not kept:
        with pytest.raises(ValueError, match="all references are null"):
            metric.compute()
        return
    found = metric.compute()
    assert list(found) == [name, *kept]
    for target, pairs in kept.items():
        x, y = map(list, zip(*pairs, strict=True))
        is_flat = len(set(x)) == 1 or len(set(y)) == 1
        expected = 0.0 if is_flat and not name.startswith("mean") else REFERENCES[name](x, y)
        assert found[target][name] == pytest.approx(expected, abs=1e-9)
    assert found[name] == pytest.approx(float(np.mean([found[target][name] for target in kept])), abs=1e-12)
    assert metric.summary_keys == (name,)


@given(table=rows)
def test_sums_over_rows_give_the_mean_over_targets(table):
    predictions, references = [list(map(list, side)) for side in zip(*table, strict=True)]
    if all(number is None for row in references for number in row):
        return
    for name in ("pearson", "mean_absolute_error", "mean_squared_error"):
        statistic = PerTarget(METRICS[name], NAMES).row_statistic(name, None)
        sums = statistic.rows(predictions, references).sum(0, keepdims=True)
        expected = PerTarget(METRICS[name], NAMES).compute(predictions=predictions, references=references)[name]
        found = statistic.value(sums)[0]
        # Of a column that is nearly flat, sums of squares know the correlation less well.
        assert found == pytest.approx(expected, abs=1e-6)
        assert math.isfinite(found)


def test_rows_of_another_length_are_refused():
    metric = PerTarget(METRICS["pearson"], NAMES)
    with pytest.raises(ValueError, match=r"expected rows of 3 numbers, found shape \[1, 2\]"):
        metric.add_batch(predictions=[[1.0, 2.0]], references=[[1.0, 2.0]])
    with pytest.raises(ValueError, match="found 1 for 2"):
        metric.add_batch(predictions=[[1.0, 2.0, 3.0]], references=[[1.0, 2.0, 3.0]] * 2)
