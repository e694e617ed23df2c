"""What MLflow is given of an exported folder, without MLflow: rows of frames and lists, and their answers."""

import numpy as np
import pandas as pd
import pytest

from hf_mtl_light import mlflow as flavour
from hf_mtl_light.errors import UserError


@pytest.fixture
def model(monkeypatch):
    """Return a model that gives back what its predictor was asked."""
    monkeypatch.setattr(flavour, "OnnxPredictor", lambda path: lambda rows, **options: [(row, options) for row in rows])
    return flavour._load_pyfunc("folder")


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (
            pd.DataFrame({"text": ["a", "b"], "text_pair": ["c", None]}),
            [{"text": "a", "text_pair": "c"}, {"text": "b"}],
        ),
        (
            pd.DataFrame({"text": ["a", "b"], "text_pair": [np.nan, "c"]}),
            [{"text": "a"}, {"text": "b", "text_pair": "c"}],
        ),
        (pd.DataFrame({"tokens": [np.array(["a", "b"]), ["c"]]}), [{"tokens": ["a", "b"]}, {"tokens": ["c"]}]),
        (["a", {"text": "b"}], ["a", {"text": "b"}]),
        ("a", ["a"]),
        ([], []),
    ],
)
def test_rows_of_frames_and_lists_are_asked(model, given, rows):
    assert model.predict(given, {"top_k": 2}) == [(row, {"top_k": 2}) for row in rows]


def test_an_empty_row_is_named(model):
    with pytest.raises(UserError, match="row 1"):
        model.predict(pd.DataFrame({"text": ["a", None]}))
