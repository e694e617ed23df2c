"""Probabilities of all labels agree with the answers that name some of them."""

import pytest

from hf_mtl import MultiTaskModel, TaskConfig, predict
from hf_mtl.inference import probabilities
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("topic", "sequence-classification", labels=["a", "b", "c"]),
    TaskConfig("topics", "multi-label-classification", labels=["a", "b", "c"]),
    TaskConfig("score", "regression", target_mean=2.0, target_std=3.0),
    TaskConfig("scores", "regression", labels=["x", "y"]),
    TaskConfig("tags", "token-classification", labels=["X", "Y", "Z"]),
    TaskConfig("chain", "crf-tagging", labels=["O", "B-city", "I-city"]),
    TaskConfig("choice", "multiple-choice"),
    TaskConfig("span", "question-answering"),
]
ROWS = [
    {"tokens": ["good", "film", "in", "paris"]},
    {"text": "a very good film by anna in rome !"},
    {"text": "good", "text_pair": "bad", "choices": ["a", "b", "c"]},
    {"tokens": ["a", "\ufffd", "b"]},
]


@pytest.fixture(scope="module")
def model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


def test_they_are_those_of_the_answers(model, tokenizer):
    tasks = [task.name for task in TASKS if task.name != "span"]
    answers = predict(model, tokenizer, ROWS, tasks=tasks)
    for answer, found in zip(answers, probabilities(model, tokenizer, ROWS), strict=True):
        assert list(found) == tasks
        mood, topic = found["mood"][0], found["topic"][0]
        assert list(answer["mood"]["scores"].values()) == pytest.approx(mood)
        assert answer["topic"]["score"] == pytest.approx(max(topic))
        assert sum(topic) == pytest.approx(1)
        assert {a["label"] for a in answer["topics"]} == {
            label for label, p in zip("abc", found["topics"][0], strict=True) if p >= 0.5
        }
        assert found["score"] == [[pytest.approx(answer["score"]["value"])]]
        assert found["scores"] == [pytest.approx(list(answer["scores"]["values"].values()))]
        scores = [a["score"] for a in answer["tags"]]
        assert scores == pytest.approx([0.0 if own is None else max(own) for own in found["tags"]])
        assert all(sum(own) == pytest.approx(1) for own in found["chain"] if own is not None)
        if answer["choice"] is None:
            assert found["choice"] is None
        else:
            assert max(found["choice"][0]) == pytest.approx(answer["choice"]["score"])


def test_a_word_that_is_not_read_has_none_and_windows_read_all(model, tokenizer):
    long = {"tokens": ["good"] * 90}
    [cut] = probabilities(model, tokenizer, [long], tasks=["tags"], max_length=16)
    [read] = probabilities(model, tokenizer, [long], tasks=["tags"], max_length=16, stride=4)
    assert len(cut["tags"]) == len(read["tags"]) == 90
    assert cut["tags"][-1] is None
    assert None not in read["tags"]


def test_tasks_without_probabilities_are_refused(model, tokenizer):
    with pytest.raises(ValueError, match="'span' has no probabilities"):
        next(probabilities(model, tokenizer, ROWS, tasks=["mood", "span"]))
    with pytest.raises(ValueError, match="'moods' is no task"):
        next(probabilities(model, tokenizer, ROWS, tasks=["moods"]))
