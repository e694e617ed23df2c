"""One graph for all tasks: as exact as it says, and answered without torch as the stock pipelines answer."""

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import pipeline

import hf_mtl_light
from hf_mtl import MultiTaskModel, OnnxPredictor, TaskConfig, predict
from hf_mtl.export import _graph as graph_module
from hf_mtl.export import export_onnx
from tests.encoders import tiny_encoder
from tests.environments import make_environment, run_in

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig(
        "topics",
        "sequence-classification",
        labels=["x", "y"],
        problem_type="multi_label_classification",
        thresholds=[0.45, 0.6],
    ),
    TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"], options={"loss": "ordinal"}, pooling="mean"),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x", "B-y"]),
    TaskConfig("feeling", "regression", labels=["valence", "arousal"], target_mean=[2.5, 0.0], target_std=[1.5, 4.0]),
    TaskConfig("value", "regression", target_mean=2.5, target_std=1.5),
]
TEXTS = [
    "play a song by anna in paris",
    {"text": "bob is not good", "text_pair": "the film"},
    {"tokens": ["Anna", "plays", "Rome,", "very", "good!"]},
    "a",
    "",
    "the very good film was not in rome or paris, anna! \u00e9\u4e2d bobbing " * 4,
]


def make(family="bert", tasks=TASKS):
    torch.manual_seed(1)
    encoder = tiny_encoder(family, hidden_size=128, intermediate_size=256)
    model = MultiTaskModel.from_encoder(encoder, tasks)
    for head in model.task_heads.values():  # clear decisions, and tags of every kind
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
    return model


@pytest.fixture(scope="module")
def model():
    return make()


@pytest.fixture(scope="module")
def exported(tmp_path_factory, model, tokenizer):
    folder = tmp_path_factory.mktemp("onnx") / "out"
    report = export_onnx(model, tokenizer, folder)
    assert set(report.tasks) == {task.name for task in TASKS}
    assert all(found.difference < 1e-4 and found.share == 1.0 for found in report.tasks.values())
    return folder


@pytest.fixture(scope="module")
def predictor(exported):
    return OnnxPredictor(exported, threads=1)


def test_graph_tells_nothing_of_where_it_was_made(exported):
    content = (exported / "model.onnx").read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(hf_mtl_light.__file__).parents[1]).encode() not in content


@pytest.mark.parametrize("family", ["deberta-v2", "modernbert"])
def test_every_kind_of_family_is_exported_as_exactly(family, tmp_path, tokenizer):
    report = export_onnx(make(family, [TASKS[0], TASKS[3]]), tokenizer, tmp_path / "out")
    assert all(found.difference < 1e-5 and found.share == 1.0 for found in report.tasks.values())
    assert len(OnnxPredictor(tmp_path / "out")(TEXTS)) == len(TEXTS)


def test_sequence_answers_are_those_of_the_python_model(model, tokenizer, predictor):
    for mine, theirs in zip(predict(model, tokenizer, TEXTS), predictor(TEXTS, batch_size=2), strict=True):
        for name in ("topic", "mood"):
            assert theirs[name].pop("label") == mine[name].pop("label")
            scores = mine[name].pop("scores", {})
            assert theirs[name].pop("scores", {}) == pytest.approx(scores, abs=1e-5)
            assert theirs[name] == pytest.approx(mine[name], abs=1e-5)
        assert [a["label"] for a in theirs["topics"]] == [a["label"] for a in mine["topics"]]
        assert [a["score"] for a in theirs["topics"]] == pytest.approx([a["score"] for a in mine["topics"]], abs=1e-5)
        assert theirs["value"] == pytest.approx(mine["value"]["value"], abs=1e-4)
        assert theirs["feeling"] == pytest.approx(mine["feeling"]["values"], abs=1e-4)


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_entities_are_those_of_the_stock_pipeline(model, tokenizer, predictor, strategy):
    stock = pipeline("token-classification", model=model.to_transformers("tags"), tokenizer=tokenizer, device="cpu")
    found = 0
    for text in TEXTS:
        if isinstance(text, dict) and "text_pair" in text:
            continue  # which the stock pipeline does not take
        if isinstance(text, dict):
            (expected,) = stock([text["tokens"]], is_split_into_words=True, aggregation_strategy=strategy)
        else:
            expected = stock(text, aggregation_strategy=strategy)
        mine = predictor(text, aggregation_strategy=strategy)["tags"]
        found += len(mine)
        assert [{**entity, "score": None} for entity in mine] == [{**entity, "score": None} for entity in expected]
        scores = [float(entity["score"]) for entity in expected]
        assert [entity["score"] for entity in mine] == pytest.approx(scores, abs=1e-5)
    assert found > 20


def test_answers_do_not_depend_on_company_or_order(predictor):
    alone = [predictor(text) for text in TEXTS]
    for given in (TEXTS, TEXTS[::-1]):
        together = predictor(given, batch_size=4)
        for text, answer in zip(given, together, strict=True):
            expected = alone[TEXTS.index(text)]
            assert answer["topic"]["label"] == expected["topic"]["label"]
            assert answer["value"] == pytest.approx(expected["value"], abs=1e-4)
            assert [e["word"] for e in answer["tags"]] == [e["word"] for e in expected["tags"]]


def test_entities_of_a_pair_lie_in_its_first_text(predictor):
    text = TEXTS[1]
    entities = predictor(text, aggregation_strategy="none")["tags"]
    assert entities
    assert all(text["text"][entity["start"] : entity["end"]] for entity in entities)


def test_answers_are_json_and_only_for_the_tasks_asked_for(predictor):
    answers = predictor(TEXTS, tasks=["tags", "value"])
    assert [list(answer) for answer in answers] == [["tags", "value"]] * len(TEXTS)
    assert json.loads(json.dumps(answers)) == answers
    assert predictor([]) == []
    logits = predictor.logits(TEXTS[:1])[0]
    assert logits["topic"].shape == (3,)
    assert logits["tags"].shape == (9, 4)


def test_int8_is_a_fraction_of_the_size_whatever_the_models_precision(exported, tmp_path, tokenizer):
    half = make().bfloat16().train()
    half.forward = torch.autocast("cpu", torch.bfloat16)(half.forward)  # as a trainer leaves it
    report = export_onnx(half, tokenizer, tmp_path / "small", quantize="int8", least_agreement=0.5)
    assert (half.dtype, half.training) == (torch.bfloat16, True)
    assert report.megabytes < (exported / "model.onnx").stat().st_size / 1e6 / 2.5
    assert sorted(path.name for path in (tmp_path / "small").glob("*.onnx*")) == ["model.onnx"]
    assert json.loads((tmp_path / "small" / "tasks.json").read_text())["precision"] == "int8"
    assert 0 < report.tasks["tags"].difference < 1
    assert all(found.share > 0.5 for found in report.tasks.values())
    assert len(OnnxPredictor(tmp_path / "small")(TEXTS)) == len(TEXTS)


def test_int8_that_decides_otherwise_is_not_written(tmp_path, tokenizer, model):
    with pytest.raises(ValueError, match=r"Task 'tags': the int8 graph decides .*less than 100.1%"):
        export_onnx(model, tokenizer, tmp_path / "no", tasks=["tags"], quantize="int8", least_agreement=1.001)
    assert not list(tmp_path.iterdir())


def test_graph_that_differs_from_torch_is_not_written(tmp_path, tokenizer, model, monkeypatch):
    def broken(traced, file):
        with torch.no_grad():
            list(traced.model.heads.parameters())[-1].add_(1.0)
        write(traced, file)
        with torch.no_grad():
            list(traced.model.heads.parameters())[-1].sub_(1.0)

    write = graph_module.write_graph
    monkeypatch.setattr("hf_mtl.export._onnx.write_graph", broken)
    with pytest.raises(ValueError, match="Task 'value': the graph's logits differ from torch's by"):
        export_onnx(model, tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


_WITHOUT_TORCH = """
import importlib.util, json, sys

assert not any(importlib.util.find_spec(name) for name in ("torch", "transformers", "hf_mtl"))
from hf_mtl_light import OnnxPredictor

print(json.dumps(OnnxPredictor(sys.argv[1])(json.loads(sys.argv[2]))))
"""


def test_predictor_works_where_torch_and_transformers_are_not_installed(exported, predictor, tmp_path):
    absent = ("torch", "transformers", "datasets", "evaluate", "accelerate", "onnx", "onnxscript", "hf_mtl")
    python = make_environment(tmp_path / "environment", absent, [Path(hf_mtl_light.__file__).parent])
    answers = run_in(python, _WITHOUT_TORCH, str(exported), json.dumps(TEXTS), cwd=tmp_path)
    assert json.loads(answers) == predictor(TEXTS)


def test_missing_runtime_names_the_command(exported, monkeypatch, model, tokenizer, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"OnnxPredictor needs onnxruntime: pip install 'hf-mtl\[onnx\]'"):
        OnnxPredictor(exported)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"Exporting to ONNX needs onnx\w+: pip install 'hf-mtl\[onnx\]'"):
        export_onnx(model, tokenizer, tmp_path / "out")


@pytest.mark.parametrize(
    ("inputs", "kwargs", "words"),
    [
        (["a", 3], {}, "Input 1: expected a text, or a mapping .* found 3"),
        ({"txt": "a"}, {}, "Input 0: expected a text"),
        ({"tokens": "a b"}, {}, "Input 0: expected a text"),
        ("a", {"tasks": ["topik"]}, r"'topik' is no task of this model. Did you mean 'topic'\?"),
        ("a", {"aggregation_strategy": "mean"}, "must be one of none, simple, first, average, max, found 'mean'"),
        ("a", {"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_wrong_calls_say_what_is_wrong(predictor, inputs, kwargs, words):
    with pytest.raises(ValueError, match=words):
        predictor(inputs, **kwargs)


def test_folders_that_hold_no_export_say_so(tmp_path, exported):
    with pytest.raises(ValueError, match=r"holds no tasks.json, so it is no exported model"):
        OnnxPredictor(tmp_path)
    (tmp_path / "tasks.json").write_text('{"version": 9}')
    with pytest.raises(ValueError, match="its version is 9, not 1, which this hf-mtl reads"):
        OnnxPredictor(tmp_path)
    (tmp_path / "tasks.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match="cannot be read: 'tasks'"):
        OnnxPredictor(tmp_path)
    with pytest.raises(ValueError, match="max_length must lie between 3 and 64"):
        OnnxPredictor(exported, max_length=1000)


def test_description_of_a_later_hf_mtl_with_more_fields_is_read(exported, tmp_path):
    values = json.loads((exported / "tasks.json").read_text())
    values["later"] = 1
    values["tasks"][0]["later"] = 1
    (tmp_path / "tasks.json").write_text(json.dumps(values))
    from hf_mtl_light import GraphDescription

    assert GraphDescription.read(tmp_path) == GraphDescription.read(exported)
