"""What a description says of a task: enough for its answers, in files of any version; heads that need more say so."""

import json

import numpy as np
import pytest

from hf_mtl import AnswerOptions, MultiTaskModel, TaskConfig
from hf_mtl.export import export_onnx
from hf_mtl.heads import CrfTaggingHead, SentimentHead, SequenceClassificationHead, TokenClassificationHead
from hf_mtl_light import GraphDescription, OnnxPredictor, TaskDescription
from hf_mtl_light.answering import KINDS, answers_of
from hf_mtl_light.words import WordMap
from tests.encoders import tiny_encoder


class Shout(SequenceClassificationHead):
    """Makes its answers itself, with numpy."""

    @classmethod
    def answers(cls, task, logits, words, options=None):
        return [task.labels[i].upper() for i in logits.argmax(-1)]


class Mood(SentimentHead):
    """A scale by another name."""


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        (("sequence-classification", "sequence", "softmax", ["x", "y"]), "label"),
        (("mine", "sequence", "sigmoid", ["x", "y"], [0.5, 0.5]), "labels"),
        (("sentiment", "sequence", "softmax", ["x", "y"]), "scale"),
        (("token-classification", "token", "softmax", ["O", "B-x"]), "tags"),
        (("regression", "sequence", "none"), "numbers"),
    ],
)
def test_files_that_name_no_kind_of_answers_mean_one(fields, kind):
    task = TaskDescription("a", *fields)
    assert task.answers == kind
    assert answers_of(task) is KINDS[kind]


def test_tags_of_files_that_name_no_scheme_follow_the_one_their_labels_are_written_in():
    words = WordMap("a b", [(0, 1), (2, 3)], [0, 1])
    logits = np.array([[2.0, 0.0, 1.0, 0.0], [2.0, 0.0, 0.0, 3.0]], dtype=np.float32)  # O, then E-x
    labels = ["O", "B-x", "S-x", "E-x"]
    old = TaskDescription("a", "token-classification", "token", "softmax", labels)
    loose = TaskDescription("a", "token-classification", "token", "softmax", labels, constrained_decoding=False)
    plain = TaskDescription("a", "token-classification", "token", "softmax", labels, scheme="plain")
    assert answers_of(old).answers(old, logits, [words]) == [[]]
    assert [entity["word"] for entity in answers_of(loose).answers(loose, logits, [words])[0]] == ["b"]
    assert [tag["entity"] for tag in answers_of(plain).answers(plain, logits, [words])[0]] == ["O", "E-x"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scheme": "IOB3"}, "Task 'a': scheme must be one of 'IOB1', 'IOB2', .* or null, found 'IOB3'"),
        ({"answers": "spans"}, "answers of the kind 'spans' are unknown to this hf-mtl, which knows 'label', 'labels'"),
    ],
)
def test_descriptions_of_what_is_unknown_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        answers_of(TaskDescription("a", "token-classification", "token", "softmax", ["O", "B-x"], **change))


def test_the_crf_answers_as_plain_tags_where_its_transitions_are_zero():
    task = TaskConfig("tags", "crf-tagging", labels=["O", "B-x", "I-x"])
    model = MultiTaskModel.from_encoder(tiny_encoder(), [task])
    words = WordMap("a b", [(0, 1), (2, 3)], [None, 0, 1, None])
    logits = np.array([[0, 0, 0], [0, 1, 3], [1, 0, 2], [0, 0, 0]], dtype=np.float32)  # the best begin with I-x
    plain = TaskConfig("tags", "token-classification", labels=task.labels)
    answering = model.task_heads["tags"].answering()
    expected = TokenClassificationHead.answers(plain, logits, [words])
    (entities,) = answering.answers(task, logits, [words])
    assert [entity["word"] for entity in entities] == [entity["word"] for entity in expected[0]] == ["a b"]
    assert answering.answer_fields(task) == TokenClassificationHead.answer_fields(plain)
    assert CrfTaggingHead.describe(task) is None


def test_head_that_makes_its_own_answers_answers_and_cannot_leave(tmp_path, tokenizer):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    task = TaskConfig("topic", "shout", labels=["x", "y"])
    assert Shout.answers(task, np.array([[0.0, 1.0]]), []) == ["Y"]
    model = MultiTaskModel.from_encoder(tiny_encoder(), [task], heads={"shout": Shout})
    with pytest.raises(ValueError, match=r"Task 'topic': Shout makes its answers by custom code.*describe\(\)"):
        export_onnx(model, tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_head_of_ones_own_with_known_answers_leaves_under_its_own_type(tmp_path, tokenizer):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    task = TaskConfig("feel", "mood", labels=["bad", "good"])
    model = MultiTaskModel.from_encoder(tiny_encoder(num_hidden_layers=1), [task], heads={"mood": Mood})
    export_onnx(model, tokenizer, tmp_path / "out")
    answer = OnnxPredictor(tmp_path / "out")("bob is good", top_k=1)["feel"]
    assert list(answer) == ["label", "score", "scores", "polarity"]
    assert list(answer["scores"]) == [answer["label"]]

    file = tmp_path / "out" / "tasks.json"
    values = json.loads(file.read_text())
    assert values["tasks"][0]["type"] == "mood"
    assert values["tasks"][0].pop("answers") == "scale"
    file.write_text(json.dumps(values))  # as an earlier hf-mtl wrote it: answers follow from what is there
    assert GraphDescription.read(file.parent).tasks[0].answers == "label"
    assert OnnxPredictor(file.parent)("bob is good")["feel"].keys() == {"label", "score"}


def test_description_and_config_ask_for_the_same_answers():
    task = TaskConfig("topics", "multi-label-classification", labels=["x", "y"], thresholds=[0.9, 0.1])
    description = SequenceClassificationHead.describe(task)
    logits = np.zeros((1, 2), dtype=np.float32)
    for options in (None, AnswerOptions(thresholds={"x": 0.2}), AnswerOptions(top_k=1)):
        mine = SequenceClassificationHead.answers(task, logits, [], options)
        assert mine == answers_of(description).answers(description, logits, [], options)
    assert SequenceClassificationHead.answers(task, logits, []) == [[{"label": "y", "score": 0.5}]]


@pytest.mark.parametrize("field", ["model", "tokenizer"])
@pytest.mark.parametrize("name", ["../x.onnx", "/etc/passwd", "a/b.json", "C:\\x", "..", "", None, 7])
def test_a_description_cannot_name_files_outside_of_its_folder(tmp_path, field, name):
    values = {"version": 1, "inputs": ["input_ids"], "max_length": 9, "pad_token_id": 0, "tasks": [], field: name}
    (tmp_path / "tasks.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=f"{field} must be the name of a file in the folder"):
        GraphDescription.read(tmp_path)
