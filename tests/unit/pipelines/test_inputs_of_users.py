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
