"""One graph for all tasks: as exact as it says, and answered without torch as the model itself answers."""

import io
import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertModel, pipeline

import hf_mtl_light
from hf_mtl import MultiTaskModel, MultiTaskPipeline, OnnxPredictor, TaskConfig, predict
from hf_mtl.export import _graph as graph_module
from hf_mtl.export import export_onnx
from hf_mtl.export._quantize import quantize_int8
from hf_mtl.heads import HEADS, STRATEGIES, Head
from hf_mtl_light._command import main as light_command
from tests.encoders import tiny_config, tiny_encoder
from tests.environments import make_environment, run_in
from tests.serving import ask, running

pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")

TASKS = [
    TaskConfig("topic", "sequence-classification", labels=["x", "y", "z"]),
    TaskConfig(
        "topics",
        "sequence-classification",
        labels=["x", "y"],
        problem_type="multi_label_classification",
        thresholds=[0.1, 0.9],
    ),
    TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"], options={"loss": "ordinal"}, pooling="mean"),
    TaskConfig("tags", "token-classification", labels=["O", "B-x", "I-x", "B-y"], calibration_temperature=0.6),
    TaskConfig("themes", "multi-label-classification", labels=["x", "y", "z"], calibration_temperature=2.5),
    TaskConfig(
        "polarity",
        "sentiment",
        labels=["bad", "good"],
        calibration_temperature=1.7,
        conformal_thresholds={"0.9": 0.45},
    ),
    TaskConfig("speech", "token-classification", labels=["NOUN", "VERB", "DET"]),
    TaskConfig("names", "token-classification", labels=["O", "B-x", "I-x", "E-x", "S-x", "S-y"]),
    TaskConfig("places", "token-classification", labels=["B-x", "O", "I-x", "L-x", "U-x"]),
    TaskConfig("old", "token-classification", labels=["O", "B-x", "I-x", "I-y"], options={"scheme": "IOB1"}),
    TaskConfig(
        "loose", "token-classification", labels=["O", "B-x", "I-x", "I-y"], options={"constrained_decoding": False}
    ),
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
    # A graph's second layer costs a second of a core, and is made as its first.
    encoder = tiny_encoder(family, hidden_size=128, intermediate_size=256, num_hidden_layers=1)
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


@pytest.mark.parametrize("type", ["question-answering", "multiple-choice"])
def test_tasks_that_read_more_than_a_text_are_refused(type, tokenizer, tmp_path):
    model = MultiTaskModel.from_encoder(tiny_encoder(), [TaskConfig("one", type), *TASKS[:1]])
    with pytest.raises(ValueError, match=f"Task 'one': tasks of the type '{type}' .* OnnxPredictor does not"):
        export_onnx(model, tokenizer, tmp_path / "out")


def test_graph_tells_nothing_of_where_it_was_made(exported):
    content = (exported / "model.onnx").read_bytes()
    assert b"stack_trace" not in content
    assert str(Path(hf_mtl_light.__file__).parents[1]).encode() not in content


@pytest.mark.parametrize("family", ["albert", "deberta-v2", "modernbert", "t5"])
def test_every_kind_of_family_is_exported_as_exactly(family, tmp_path, tokenizer):
    report = export_onnx(make(family, [TASKS[0], TASKS[3]]), tokenizer, tmp_path / "out")
    # A T5 without training has states of some tens.
    assert all(f.difference < 1e-5 * max(1.0, f.largest) and f.share == 1.0 for f in report.tasks.values()), report
    exact = OnnxPredictor(tmp_path / "out")
    assert len(exact(TEXTS)) == len(TEXTS)
    graph = tmp_path / "out" / "model.onnx"
    quantize_int8(graph, graph)
    assert_close_and_apart(exact, OnnxPredictor(tmp_path / "out"))


def assert_close_and_apart(exact, rounded):
    """Check that int8 logits are near the exact ones, and the same whatever texts share a batch."""
    together = rounded.logits(TEXTS)
    for text, expected, found in zip(TEXTS, exact.logits(TEXTS), together, strict=True):
        (alone,) = rounded.logits([text])
        for name, values in found.items():
            assert abs(values - expected[name]).max() < 0.05 * max(1.0, abs(expected[name]).max())
            assert abs(values - alone[name]).max() < 1e-5 * max(1.0, abs(expected[name]).max())


class _BranchingEncoder(BertModel):
    """An encoder that looks at its data, which no graph can."""

    def forward(self, input_ids=None, **kwargs):
        return super().forward(input_ids + 1 if input_ids.sum() > 7 else input_ids, **kwargs)


def test_an_encoder_that_torch_makes_no_graph_of_is_named_with_the_way_out(tmp_path, tokenizer):
    model = MultiTaskModel.from_encoder(_BranchingEncoder(tiny_config("bert")), TASKS[:1])
    with pytest.raises(ValueError, match=r"no ONNX graph of an encoder of the family 'bert' \(.+\)\. Export its tasks"):
        export_onnx(model, tokenizer, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_every_type_that_can_be_exported_is_covered():
    can_be = {
        name
        for name, head in HEADS.items()
        if head.answers.__func__ is Head.answers.__func__ and head.modality() == "text"
    }
    assert {task.type for task in TASKS} == can_be, f"TASKS in {Path(__file__).name}: a task of each of {can_be}"


def agree(mine, theirs):
    """Assert that answers are equal, but for rounding in their scores."""
    assert type(mine) is type(theirs)
    if isinstance(mine, dict):
        assert list(mine) == list(theirs)
        for name, value in mine.items():
            agree(value, theirs[name])
    elif isinstance(mine, list):
        assert len(mine) == len(theirs)
        for one, other in zip(mine, theirs, strict=True):
            agree(one, other)
    else:
        assert mine == (pytest.approx(theirs, abs=1e-5) if isinstance(mine, float) else theirs)


@pytest.fixture(scope="module")
def pipe(model, tokenizer):
    return MultiTaskPipeline(model, tokenizer, device="cpu")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tasks": ["tags", "value"]},
        {"top_k": 1},
        {"top_k": 2, "thresholds": 0.5},
        {"top_k": "all"},
        {"top_k": None},
        {"thresholds": 0.0},
        {"tasks": ["polarity", "tags"], "coverage": 0.9},
        {"thresholds": {"themes": 0.45, "topics": {"y": 0.2}}},
        *({"aggregation_strategy": strategy} for strategy in STRATEGIES),
        *({"aggregation_strategy": strategy, "ignore_labels": ["x", "B-x"]} for strategy in STRATEGIES),
        {"stride": 0, "max_length": 12},
        *({"stride": 3, "max_length": 20, "aggregation_strategy": strategy} for strategy in (None, "none", "max")),
        {"batch_size": 2, "look_ahead": 4},
        {"batch_tokens": 40, "max_length": 12},
    ],
    ids=repr,
)
def test_answers_are_those_of_the_pipeline(pipe, predictor, asked):
    mine = predictor(TEXTS, **asked)
    agree(mine, pipe(TEXTS, **asked))
    assert json.loads(json.dumps(mine)) == mine


def test_answers_are_those_of_predict(model, tokenizer, predictor):
    agree(predictor(TEXTS), list(predict(model, tokenizer, TEXTS)))


_letters = st.text(
    st.sampled_from("abing .\u00e9e\u0301\u4e2d\ufffd\U0001f600\tB") | st.characters(codec="utf-8"), max_size=60
)
_inputs = st.one_of(
    _letters,
    st.fixed_dictionaries({"text": _letters, "text_pair": _letters}),
    st.fixed_dictionaries({"tokens": st.lists(_letters, max_size=6)}),
)


@given(
    texts=st.lists(_inputs, min_size=1, max_size=4),
    strategy=st.sampled_from([None, *STRATEGIES]),
    window=st.sampled_from([{}, {"max_length": 9}, {"max_length": 16, "stride": 4}]),
)
def test_any_unicode_is_answered_as_by_the_pipeline(pipe, predictor, texts, strategy, window):
    asked = {"aggregation_strategy": strategy, **window}
    agree(predictor(texts, **asked), pipe(texts, **asked))


def test_inputs_come_in_every_form_that_the_pipeline_takes(pipe, predictor):
    agree(predictor(("bob is bad", "anna")), pipe(("bob is bad", "anna")))
    agree(predictor(TEXTS[1]), pipe(TEXTS[1]))
    answers = predictor(text for text in TEXTS)
    assert next(answers) == predictor(TEXTS)[0]
    assert len(list(answers)) == len(TEXTS) - 1


def test_threads_may_share_a_predictor(predictor):
    calls = [{}, {"stride": 3, "max_length": 20}] * 8
    expected = [predictor(TEXTS, **asked) for asked in calls]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda asked: predictor(TEXTS, **asked), calls)) == expected


def test_thresholds_of_a_task_are_those_of_its_model(predictor):
    topics = next(task for task in predictor.description.tasks if task.name == "topics")
    assert topics.thresholds == (0.1, 0.9)
    assert all(a["score"] >= {"x": 0.1, "y": 0.9}[a["label"]] for row in predictor(TEXTS) for a in row["topics"])


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
        raw = text if isinstance(text, str) else " ".join(text["tokens"])
        assert [entity.pop("word") for entity in mine] == [raw[entity["start"] : entity["end"]] for entity in mine]
        for entity in expected:
            entity.pop("word")  # the tokenizer's pieces, joined
        assert [{**entity, "score": None} for entity in mine] == [{**entity, "score": None} for entity in expected]
        scores = [float(entity["score"]) for entity in expected]
        assert [entity["score"] for entity in mine] == pytest.approx(scores, abs=1e-5)
    assert found > 20


def test_answers_do_not_depend_on_company_or_order(predictor):
    alone = [predictor(text) for text in TEXTS]
    agree(predictor(TEXTS, batch_size=4), alone)
    agree(predictor(TEXTS[::-1], batch_size=4), alone[::-1])


def test_entities_of_a_pair_lie_in_its_first_text(predictor):
    text = TEXTS[1]
    entities = predictor(text, aggregation_strategy="none")["tags"]
    assert entities
    assert all(text["text"][entity["start"] : entity["end"]] for entity in entities)


def test_logits_are_those_of_each_inputs_own_tokens(model, tokenizer, predictor):
    for text, logits in zip(TEXTS[:1] + TEXTS[3:5], predictor.logits(TEXTS[:1] + TEXTS[3:5]), strict=True):
        with torch.inference_mode():
            expected = model(**tokenizer(text, return_tensors="pt")).logits
        assert list(logits) == [task.name for task in TASKS]
        for name, values in logits.items():
            torch.testing.assert_close(torch.from_numpy(values), expected[name][0], rtol=0, atol=1e-5)
    assert predictor.logits([]) == []


def test_int8_is_a_fraction_of_the_size_whatever_the_models_precision(exported, tmp_path, tokenizer):
    half = make(tasks=[TASKS[0], TASKS[3]]).bfloat16().train()
    half.forward = torch.autocast("cpu", torch.bfloat16)(half.forward)  # as a trainer leaves it
    rows = Dataset.from_dict({"text": ["a song", "good", "in rome"], "topic": ["x", "y", "z"]})
    words = Dataset.from_dict({"tokens": [["anna", "in", "rome"]], "tags": [["B-x", "O", "B-y"]]})
    report = export_onnx(
        *(half, tokenizer, tmp_path / "small"),
        quantize="int8",
        least_agreement=0.5,
        check={"rows": rows, "words": words},
        most_lost=100,
    )
    assert {name: (found.metric, found.rows) for name, found in report.scores.items()} == {
        "topic": ("accuracy", 3),
        "tags": ("f1", 1),
    }
    assert "| topic | accuracy | 3 |" in (tmp_path / "small" / "README.md").read_text()
    assert (half.dtype, half.training) == (torch.bfloat16, True)
    assert report.megabytes < (exported / "model.onnx").stat().st_size / 1e6 / 2.5
    assert sorted(path.name for path in (tmp_path / "small").glob("*.onnx*")) == ["model.onnx"]
    assert json.loads((tmp_path / "small" / "tasks.json").read_text())["precision"] == "int8"
    assert 0 < report.tasks["tags"].difference < 1
    assert all(found.share > 0.5 for found in report.tasks.values())
    assert len(OnnxPredictor(tmp_path / "small")(TEXTS)) == len(TEXTS)


def test_int8_that_decides_otherwise_is_not_written(tmp_path, tokenizer, model):
    rows = Dataset.from_dict({"text": ["a song"], "topic": ["x"]})
    with pytest.raises(ValueError, match=r"Tasks 'tags': no dataset of the check has rows with their labels"):
        export_onnx(model, tokenizer, tmp_path / "no", tasks=["topic", "tags"], check={"rows": rows})
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
        export_onnx(model, tokenizer, tmp_path / "out", tasks=["tags", "value"])
    assert not list(tmp_path.iterdir())


_WITHOUT_TORCH = """
import importlib.util, json, sys

assert not any(importlib.util.find_spec(name) for name in ("torch", "transformers", "hf_mtl"))
from hf_mtl_light import OnnxPredictor

predictor, texts = OnnxPredictor(sys.argv[1]), json.loads(sys.argv[2])
print(json.dumps([predictor(texts, **asked) for asked in json.loads(sys.argv[3])]))
"""


def test_predictor_works_where_torch_and_transformers_are_not_installed(exported, predictor, tmp_path):
    absent = ("torch", "transformers", "datasets", "evaluate", "accelerate", "onnx", "onnxscript", "hf_mtl")
    python = make_environment(tmp_path / "environment", absent, [Path(hf_mtl_light.__file__).parent])
    calls = [{}, {"top_k": 2}, {"aggregation_strategy": "max", "stride": 3, "max_length": 20}]
    answers = run_in(python, _WITHOUT_TORCH, str(exported), json.dumps(TEXTS), json.dumps(calls), cwd=tmp_path)
    assert json.loads(answers) == [predictor(TEXTS, **asked) for asked in calls]


def test_missing_runtime_names_the_command(exported, monkeypatch, model, tokenizer, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"OnnxPredictor needs onnxruntime: pip install 'hf-mtl-light\[onnx\]'"):
        OnnxPredictor(exported)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"Exporting to ONNX needs onnx\w+: pip install 'hf-mtl\[onnx\]'"):
        export_onnx(model, tokenizer, tmp_path / "out")


@pytest.mark.parametrize(
    ("inputs", "kwargs", "words"),
    [
        (["a", 3], {}, r"input, row 1: expected 'text' \(a string\).* found 3"),
        ({"txt": "a"}, {}, "input, row 0: expected 'text'.* found the fields 'txt'"),
        ({"tokens": "a b"}, {}, "input, row 0: expected 'text'"),
        (7, {}, "Expected a text, a pair, .* found a int"),
        ("a", {"tasks": ["topik"]}, r"'topik' is no task of this model. Did you mean 'topic'\?"),
        ("a", {"aggregation_strategy": "mean"}, "aggregation_strategy must be one of 'none', .*found 'mean'"),
        ("a", {"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ("a", {"max_length": 100}, "max_length must lie between 3 and 64, the most this model takes; found 100"),
        ("a", {"stride": 40}, "stride must lie between 0 and 29 tokens for windows of 64, found 40"),
        ("a", {"thresholds": {"themse": 0.1}}, "'themse', which is no task of this model. Did you mean 'themes'"),
        ("a", {"thresholds": {"themes": {"w": 0.1}}}, "Task 'themes': a threshold is given for 'w'"),
    ],
)
def test_wrong_calls_say_what_is_wrong(predictor, inputs, kwargs, words):
    with pytest.raises(ValueError, match=words):
        predictor(inputs, **kwargs)


def test_the_command_answers_files_and_single_texts(exported, predictor, tmp_path, capsysbinary, monkeypatch):
    rows = [{"text": text} if isinstance(text, str) else text for text in TEXTS]
    rows[0] = {**rows[0], "topic": "a label", "number": 7}
    answers = predictor(rows)
    expected = [{**row, **found} for row, found in zip(rows, answers, strict=True)]
    expected[0] = {"text": rows[0]["text"], "input_topic": "a label", "number": 7, **answers[0]}
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    output = tmp_path / "answers.jsonl"
    assert light_command(["predict", str(exported), str(tmp_path / "rows.jsonl"), "-o", str(output)]) == 0
    assert [json.loads(line) for line in output.read_text().splitlines()] == expected
    assert light_command(["predict", str(exported), "a b", "--tasks", "mood, tags"]) == 0
    assert json.loads(capsysbinary.readouterr().out) == {"text": "a b", **predictor("a b", tasks=["mood", "tags"])}
    for piped in (b"play\n\nrome\n", b'{"text": "play"}\n\n{"text": "rome"}\n'):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        assert light_command(["predict", str(exported), "-"]) == 0
        lines = capsysbinary.readouterr().out.splitlines()
        assert [json.loads(line)["text"] for line in lines if json.loads(line)["text"]] == ["play", "rome"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{out}", "missing.jsonl"], "missing.jsonl: no such file."),
        (["{out}", "{bad}"], "line 2: Expecting value"),
        (["{out}", "{latin}"], "line 1: not text in UTF-8"),
        (["{out}", "a", "--tasks", "topik"], "Did you mean 'topic'?"),
        (["nowhere", "a"], "holds no tasks.json"),
    ],
)
def test_mistakes_of_the_command_are_one_line(exported, tmp_path, capsys, arguments, reason):
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    places = {"out": exported, "bad": tmp_path / "bad.jsonl", "latin": tmp_path / "latin.txt"}
    output = tmp_path / "answers.jsonl"
    assert light_command(["predict", *(a.format(**places) for a in arguments), "-o", str(output)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert reason in line
    assert not output.exists()


def test_an_exported_folder_is_served(predictor):
    with running(predictor) as server:
        asked = {"inputs": [value for value in TEXTS if isinstance(value, (str, dict))], "parameters": {"top_k": 2}}
        status, answers, _ = ask(server, asked)
        assert (status, answers) == (200, predictor(asked["inputs"], top_k=2))
        status, answer, _ = ask(server, {"inputs": "a", "parameters": {"max_length": 100}})
        assert (status, "between 3 and 64" in answer["detail"]) == (422, True)


def test_folders_that_hold_no_export_say_so(tmp_path, exported):
    with pytest.raises(ValueError, match=r"holds no tasks.json, so it is no exported model"):
        OnnxPredictor(tmp_path)
    (tmp_path / "tasks.json").write_text('{"version": 9}')
    with pytest.raises(ValueError, match="its version is 9, and this hf-mtl reads 1 to 3"):
        OnnxPredictor(tmp_path)
    (tmp_path / "tasks.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match="cannot be read: 'tasks'"):
        OnnxPredictor(tmp_path)
    with pytest.raises(ValueError, match="max_length must lie between 3 and 64"):
        OnnxPredictor(exported, max_length=1000)


def test_a_tokenizer_of_another_vocabulary_is_refused(exported, tmp_path):
    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    values = json.loads((folder / "tokenizer.json").read_text())
    tokens = values["model"]["vocab"]
    tokens["good"], tokens["bad"] = tokens["bad"], tokens["good"]
    (folder / "tokenizer.json").write_text(json.dumps(values))
    size = len(tokens)
    with pytest.raises(ValueError, match=rf"\({size} tokens\) has another vocabulary .* exported with \({size} tokens"):
        OnnxPredictor(folder)
    description = json.loads((folder / "tasks.json").read_text())
    del description["vocabulary"]  # a folder of before
    (folder / "tasks.json").write_text(json.dumps(description))
    assert OnnxPredictor(folder).tasks == [task.name for task in TASKS]


def test_description_of_a_later_hf_mtl_with_more_fields_is_read(exported, tmp_path):
    values = json.loads((exported / "tasks.json").read_text())
    values["later"] = 1
    values["tasks"][0]["later"] = 1
    (tmp_path / "tasks.json").write_text(json.dumps(values))
    from hf_mtl_light import GraphDescription

    assert GraphDescription.read(tmp_path) == GraphDescription.read(exported)
