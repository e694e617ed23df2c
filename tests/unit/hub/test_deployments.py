"""What the Hub runs: a handler for Inference Endpoints, and an app for a Space."""

import ast
import runpy

import pytest
import yaml

from hf_mtl import MultiTaskPipeline
from hf_mtl.hub import write_endpoint, write_space
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer

PIPE = MultiTaskPipeline(make_model(), make_tokenizer())


@pytest.fixture(scope="module")
def handler(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endpoint")
    PIPE.save_pretrained(folder)
    write_endpoint(folder)
    assert (folder / "requirements.txt").read_text().startswith("hf-mtl[vision]==")
    return runpy.run_path(str(folder / "handler.py"))["EndpointHandler"](str(folder))


@pytest.mark.parametrize("inputs", [TEXTS[0], TEXTS, {"text": TEXTS[0], "text_pair": TEXTS[1]}, [{"tokens": ["a"]}]])
@pytest.mark.parametrize("parameters", [None, {}, {"tasks": ["mood"], "top_k": 2}])
def test_the_handler_answers_as_the_pipeline(handler, inputs, parameters):
    data = {"inputs": inputs} if parameters is None else {"inputs": inputs, "parameters": parameters}
    assert handler(data) == PIPE(inputs, **(parameters or {}))


FILES = ["/etc/passwd", "file:///etc/passwd", {"path": "/etc/passwd"}, {"path": "/etc/passwd", "bytes": None}]


@pytest.mark.parametrize("inputs", [{"image": FILES[0]}, *(["a", {"image": file}] for file in FILES)])
def test_the_handler_reads_no_file_that_a_request_names(handler, inputs):
    with pytest.raises(ValueError, match="names a file of the server"):
        handler({"inputs": inputs})


@pytest.mark.parametrize("inputs", [FILES[0], [FILES[1]], {"image": FILES[0]}])
def test_the_handler_of_a_model_of_pictures_alone_reads_none_either(handler, monkeypatch, inputs):
    monkeypatch.setattr(handler.pipeline.answerer(), "reads_paths", True)
    with pytest.raises(ValueError, match="names a file of the server"):
        handler({"inputs": inputs})


def test_a_space_names_its_model_and_its_app(tmp_path):
    write_space(tmp_path, "anna/assistant")
    body = ast.parse((tmp_path / "app.py").read_text()).body
    [model, _] = [node.value for node in body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(model) == "anna/assistant"
    card = yaml.safe_load((tmp_path / "README.md").read_text().split("---")[1])
    assert (card["sdk"], card["app_file"], card["models"]) == ("gradio", "app.py", ["anna/assistant"])
    assert (tmp_path / "requirements.txt").read_text().startswith("hf-mtl[demo-page,vision]==")
