"""A graph's outputs have the names of tasks, whatever they are."""

import pytest

from hf_mtl.export import export_onnx
from hf_mtl.pipelines import MultiTaskPipeline
from hf_mtl_light import OnnxPredictor
from tests.unit.model.test_task_names import model_of

pytest.importorskip("onnx")
#: Among them names that torch gives to values within the graph.
NAMES = ["score (0-5)", "C:\\x", '"quoted"', "line\nbreak", "a.b", " keys", "linear", "task_0", "😀"]


def test_a_graph_answers_by_any_name_as_the_model_does(tokenizer, tmp_path):
    model = model_of(NAMES)
    export_onnx(model, tokenizer, tmp_path / "graph")
    found = OnnxPredictor(tmp_path / "graph")("good film")
    expected = MultiTaskPipeline(model, tokenizer)("good film")
    assert [*found] == [*expected] == NAMES
    for name, answer in expected.items():
        assert found[name]["label"] == answer["label"]
        assert found[name]["score"] == pytest.approx(answer["score"], abs=1e-5)
    assert [task.name for task in model.tasks] == NAMES  # the model itself keeps its names
