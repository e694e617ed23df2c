"""Multi-label F1 against scikit-learn on all rows at once."""

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hf_mtl.metrics import MultilabelF1
from tests.unit.metrics.metric_cases import assert_same_scores


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 20), st.integers(1, 6), st.sampled_from([np.int64, np.bool_, np.float32]))
def test_equals_scikit_learn(data: st.DataObject, rows: int, classes: int, dtype: npt.DTypeLike) -> None:
    flags = arrays(np.int8, (rows, classes), elements=st.integers(0, 1))
    predicted, true = data.draw(flags), data.draw(flags)
    # scikit-learn takes one column for plain classes, so it gets a second, empty one and the mean is scaled back.
    padding = np.zeros((rows, 1), dtype=np.int8)
    wide_true, wide_predicted = np.hstack([true, padding]), np.hstack([predicted, padding])
    macro = sklearn.metrics.f1_score(wide_true, wide_predicted, average="macro", zero_division=0)
    expected = {
        "f1_micro": sklearn.metrics.f1_score(wide_true, wide_predicted, average="micro", zero_division=0),
        "f1_macro": macro * (classes + 1) / classes,
        "subset_accuracy": sklearn.metrics.accuracy_score(wide_true, wide_predicted),
    }
    found = MultilabelF1().compute(predictions=predicted.astype(dtype), references=true.astype(dtype).tolist())
    assert_same_scores(found, expected)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([[1, 0], [2, 0]], "row 2, class 0: expected 0 or 1 in predictions, found 2"),
        ([[0.3, 0.0], [1.0, 0.0]], "row 1, class 0.*found 0.3. Compare scores with the decision threshold"),
        ([["a", "b"], ["a", "b"]], "expected 0 or 1"),
        ([0, 1], r"expected predictions of shape \[R, C\], found \[2\]"),
        ([[1], [1, 0]], "rows of different lengths"),
        ([[1, 0]], r"of one shape \[R, C\], found \[1, 2\] and \[2, 2\]"),
    ],
)
def test_what_is_no_flag_is_refused(predictions: list[object], message: str) -> None:
    metric = MultilabelF1()
    metric.add_batch(predictions=[[1, 0]], references=[[1, 0]])
    with pytest.raises(ValueError, match=message):
        metric.add_batch(predictions=predictions, references=[[1, 0], [0, 0]])
    assert len(metric) == 1


def test_a_changed_number_of_classes_is_refused() -> None:
    metric = MultilabelF1()
    metric.add_batch(predictions=[[1, 0]], references=[[1, 0]])
    with pytest.raises(ValueError, match="expected 2 classes as in the batches before, found 3"):
        metric.add_batch(predictions=[[1, 0, 0]], references=[[1, 0, 0]])
