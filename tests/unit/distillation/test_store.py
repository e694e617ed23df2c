"""Teachers' answers in bulk: whole, in the order of the student's labels, continued after a kill."""

import json

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.data import Row, StoredPredictions
from hf_mtl.distillation import _store, store_predictions
from hf_mtl.inference import probabilities
from tests.encoders import tiny_config, tiny_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("tags", "token-classification", labels=["O", "B-x"]),
    TaskConfig("topic", "sequence-classification", labels=["film", "book", "song"]),
    TaskConfig("filled", "masked-lm"),
]


@pytest.fixture
def teachers(tmp_path, tokenizer):
    torch.manual_seed(1)
    turned = TaskConfig("opinion", "sequence-classification", labels=["good", "bad"])
    MultiTaskModel.from_encoder(tiny_encoder(), [turned, TASKS[1]]).save_pretrained(tmp_path / "one")
    labels = {0: "song", 1: "film", 2: "book"}
    config = tiny_config("distilbert", id2label=labels, label2id={name: i for i, name in labels.items()})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "two")
    for name in ("one", "two"):
        tokenizer.save_pretrained(tmp_path / name)
    return [str(tmp_path / "one"), str(tmp_path / "two")]


@pytest.fixture
def data():
    news = {"tokens": [["in", "paris"], ["rome"]], "tags": [["O", "B-x"], ["O"]], "topic": ["film", "song"]}
    return {
        "films": Dataset.from_dict({"text": ["good film", "bad book", "song"] * 3, "mood": ["good", None, "bad"] * 3}),
        "news": Dataset.from_dict(news),
    }


def test_stored_answers_are_the_teachers_in_the_order_of_the_labels(teachers, data, tmp_path, tokenizer):
    path = tmp_path / "answers.parquet"
    found = store_predictions(teachers, data, TASKS, path, progress=False)
    assert {name: lesson.task for name, lesson in found.items()} == {"mood": "opinion", "tags": "tags", "topic": "task"}
    stored = StoredPredictions(path)
    assert stored.labels == {task.name: list(task.labels) for task in TASKS[:3]}
    assert (stored.rows("films", "mood"), stored.rows("news", "tags"), stored.rows("news", "topic")) == (6, 2, 2)
    model = MultiTaskModel.from_pretrained(teachers[0])
    [expected] = probabilities(model, tokenizer, ["song"])
    assert stored.get("films", 5, "mood") == pytest.approx(expected["opinion"][0][::-1], abs=1e-6)
    [expected] = probabilities(model, tokenizer, [Row("", 0, ["in", "paris"])], tasks=["tags"])
    for one, two in zip(stored.get("news", 0, "tags"), expected["tags"], strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    stock = MultiTaskModel.from_transformers({"task": teachers[1]})
    [expected] = probabilities(stock, tokenizer, [Row("", 0, ["rome"])])
    song, film, book = expected["task"][0]
    assert stored.get("news", 1, "topic") == pytest.approx([film, book, song], abs=1e-6)


def test_what_was_stopped_is_continued_and_what_is_done_is_not_made_again(teachers, data, tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "_BLOCK", 4)
    whole, path = tmp_path / "whole.parquet", tmp_path / "answers.parquet"
    store_predictions(teachers, data, TASKS, whole, progress=False)
    answered = []
    original = _store.probabilities

    def counted(model, tokenizer, rows, **kwargs):
        answered.append(len(rows))
        if len(answered) == 3:
            raise KeyboardInterrupt
        return original(model, tokenizer, rows, **kwargs)

    monkeypatch.setattr(_store, "probabilities", counted)
    with pytest.raises(KeyboardInterrupt):
        store_predictions(teachers, data, TASKS, path, progress=False)
    assert not path.exists()
    store_predictions(teachers, data, TASKS, path, progress=False)
    assert path.read_bytes() == whole.read_bytes()
    assert len(answered) == 3 + 3  # three blocks of films, one of news from each teacher; two were kept
    store_predictions(teachers, data, TASKS, path, progress=False)
    assert len(answered) == 6
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    facts = json.loads(path.with_name("answers.parquet.json").read_text())
    assert facts[0]["dataset"] == "films"
    other = {**data, "films": data["films"].select(range(3))}
    store_predictions(teachers, other, TASKS, path, progress=False)
    assert StoredPredictions(path).rows("films", "mood") == 2


def test_rows_that_no_teacher_answers_are_refused(teachers, data, tmp_path):
    with pytest.raises(ValueError, match="No training row has a column of a task with a teacher"):
        store_predictions({"mood": teachers[0]}, {"news": data["news"]}, TASKS, tmp_path / "a.parquet")
