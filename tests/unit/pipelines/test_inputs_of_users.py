"""One task by its name, and texts as pandas and numpy hold them."""

import numpy
import pandas
import pytest

from hf_mtl import MultiTaskModel, MultiTaskPipeline, TaskConfig
from tests.encoders import tiny_encoder

TEXTS = ["good film", "bad film"]


@pytest.fixture(scope="module")
def pipe(tokenizer):
    tasks = [TaskConfig(name, "sequence-classification", labels=["a", "b"]) for name in ("intent", "mood")]
    return MultiTaskPipeline(MultiTaskModel.from_encoder(tiny_encoder(), tasks), tokenizer)


def test_one_task_is_named_without_a_list(pipe):
    assert list(pipe("good", tasks="intent")) == ["intent"]


@pytest.mark.parametrize("kind", [pandas.Series, numpy.array, lambda texts: pandas.Series(texts, index=[7, 9])])
def test_columns_are_answered_as_lists_are(pipe, kind):
    assert pipe(kind(TEXTS)) == pipe(TEXTS)


def test_a_frame_is_answered_row_by_row(pipe):
    frame = pandas.DataFrame({"text": TEXTS, "text_pair": TEXTS[::-1], "number": [1, 2]}, index=[7, 9])
    pairs = [{"text": a, "text_pair": b} for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]
    assert pipe(frame) == pipe(pairs)
    with pytest.raises(ValueError, match="row 0"):
        pipe(frame.rename(columns={"text": "sentence"}))


@pytest.mark.parametrize(("inputs", "words"), [(b"good film", "decode"), ({*TEXTS}, "a list"), ({}.keys(), "a list")])
def test_what_has_no_order_or_is_no_text_is_refused(pipe, inputs, words):
    with pytest.raises(ValueError, match=words):
        pipe(inputs)
