"""``hf-mtl export``: what it writes and says, and what users get wrong."""

import sys

import pytest
import torch
from transformers import AutoModelForTokenClassification, SplinterConfig, SplinterModel
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, OnnxPredictor, TaskConfig
from hf_mtl.cli import app
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("opinion", "sentiment", labels=["neg", "pos"]),
    TaskConfig("slots", "token-classification", labels=["B-artist", "B-place", "O"]),
    TaskConfig("rank", "sentiment", labels=["a", "b", "c"], options={"loss": "ordinal"}),
]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), TASKS)
    for parameter in model.heads.parameters():  # clear decisions
        parameter.data.add_(torch.randn_like(parameter) * 0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*args, code=0):
    result = CliRunner().invoke(app, ["export", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def test_task_becomes_a_stock_folder(folder, model_folder):
    result = call(model_folder, "out", "--to", "transformers", "--task", "slots")
    assert result.stdout == "slots is in out, a BertForTokenClassification\n"
    assert AutoModelForTokenClassification.from_pretrained("out").config.id2label[1] == "B-place"
    call(model_folder, "out", "--to", "transformers", "--task", "opinion", "--overwrite")
    assert sorted(path.name for path in folder.iterdir()) == ["out"]


def test_tasks_become_a_graph_compared_on_given_texts(folder, model_folder):
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    (folder / "in.txt").write_text("play a song\nbob is in rome\n")
    given = ("--quantize", "int8", "--texts", "in.txt", "--task", "slots", "--task", "opinion")
    result = call(model_folder, "out", "--to", "onnx", *given)
    assert "int8" in result.stdout
    assert "against torch on 2 texts" in result.stdout
    assert "The graph, tokenizer and tasks.json are in out" in result.stdout
    assert list(OnnxPredictor("out")("play a song")) == ["slots", "opinion"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["out"], "Missing option '--to'"),
        (["out", "--to", "onxx"], "'onxx' is not one of"),
        (["out", "--to", "transformers"], "A stock model answers one task. Choose it with --task: 'opinion', 'slots'"),
        (["out", "--to", "transformers", "--task", "opinon"], "--task: 'opinon' is no task of the model. Did you mean"),
        (["out", "--to", "transformers", "--task", "rank"], "Task 'rank': no stock Transformers class has the thresh"),
        (["out", "--to", "transformers", "--quantize", "int8"], "--quantize is for --to onnx. Leave it out."),
        (["out", "--to", "onnx", "--texts", "no.txt"], "no.txt: no such file."),
        (["taken", "--to", "onnx"], "'taken' is not empty. Replace it with --overwrite, or choose another folder."),
        (["taken", "--to", "onnx", "--overwrite"], "'taken' holds no exported model"),
    ],
)
def test_wrong_arguments_are_one_line(folder, model_folder, args, message):
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.txt").write_text("years")
    before = sorted(folder.rglob("*"))
    (line,) = call(model_folder, *args, code=2).stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert sorted(folder.rglob("*")) == before


def test_model_is_not_replaced_by_its_own_export(model_folder):
    (line,) = call(model_folder, model_folder, "--to", "onnx", "--overwrite", code=2).stderr.splitlines()
    assert "holds the model that is to be exported" in line


def test_family_without_a_stock_class_is_one_line(folder, tokenizer):
    config = SplinterConfig(vocab_size=120, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    MultiTaskModel.from_encoder(SplinterModel(config), TASKS[:1]).save_pretrained("model")
    tokenizer.save_pretrained("model")
    line = call("model", "out", "--to", "transformers", code=2).stderr.splitlines()[-1]
    assert "Task 'opinion': its head of sentiment on an encoder of the family 'splinter' has no stock form" in line


def test_missing_extra_is_one_line(folder, model_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    (line,) = call(model_folder, "out", "--to", "onnx", code=2).stderr.splitlines()
    assert line == "error: Exporting to ONNX needs onnxscript: pip install 'hf-mtl[onnx]'"
    assert not list(folder.iterdir())


def test_an_adapter_is_merged_before_it_is_exported(folder, tokenizer):
    pytest.importorskip("peft")
    tiny_encoder().save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    model = MultiTaskModel.from_encoder(folder / "encoder", TASKS)
    model.add_adapter({"r": 2})
    with torch.no_grad():
        for parameter in model.adapter_weights():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder / "adapter")
    tokenizer.save_pretrained(folder / "adapter")
    call("adapter", "stock", "--task", "slots", "--to", "transformers")
    stock = AutoModelForTokenClassification.from_pretrained(folder / "stock")
    with torch.no_grad():
        found, expected = (m.eval()(input_ids=torch.tensor([[2, 7, 9, 3]])).logits for m in (stock, model))
    torch.testing.assert_close(found, expected["slots"], rtol=1e-4, atol=1e-5)
