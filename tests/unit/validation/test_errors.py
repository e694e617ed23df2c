"""Errors of a model: the rows, and the counts over them, against loops by hand."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from sklearn.metrics import classification_report, confusion_matrix

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.validation import errors, errors_by_task, predicted_rows
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data

TOPICS = TaskConfig("topics", "multi-label-classification", labels=["film", "book"])
CHOICE = TaskConfig("right", "multiple-choice")
ANSWER = TaskConfig("answer", "question-answering")


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    data = make_data()
    topics = [[topic for topic in ("film", "book") if topic in text] for text in data["sst"]["text"]]
    tags = [[None, *row[1:]] if number % 5 == 0 else row for number, row in enumerate(data["snips"]["slots"])]
    data["sst"] = data["sst"].add_column("topics", topics)
    data["snips"] = data["snips"].remove_columns("slots").add_column("slots", tags)
    data["choices"] = Dataset.from_dict({"text": ["a", "b"], "choices": [["x", "y"], ["z", "w"]], "right": [0, 1]})
    spans = [{"text": ["rome"], "answer_start": [3]}, {"text": ["paris"], "answer_start": [3]}]
    data["questions"] = Dataset.from_dict(
        {"text": ["where ?"] * 2, "text_pair": ["in rome .", "in paris ."], "answer": spans}
    )
    torch.manual_seed(5)
    model = MultiTaskModel.from_encoder(tiny_encoder(), [*TASKS, TOPICS, CHOICE, ANSWER])
    for head in model.task_heads.values():
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.5)
    folder = str(tmp_path_factory.mktemp("out"))
    arguments = MultiTaskTrainingArguments(folder, use_cpu=True, disable_tqdm=True, per_device_eval_batch_size=7)
    return MultiTaskTrainer(model, arguments, None, data, make_tokenizer())


@pytest.fixture(scope="module")
def table(trainer):
    return predicted_rows(trainer)


def test_every_labelled_row_is_there_once(trainer, table):
    for part in trainer._eval_datasets.values():
        for task in part.tasks:
            rows = table[(table["dataset"] == part.name) & (table["task"] == task)]
            assert rows["row"].tolist() == [*range(len(part))], task


def test_losses_and_rights_add_up_to_the_evaluation(trainer, table):
    scores = trainer.evaluate()
    for name in ("intent", "mood"):
        rows = table.query("task == @name")
        assert rows["loss"].mean() == pytest.approx(scores[f"eval_{name}_loss"], abs=1e-5)
        assert rows["right"].mean() == pytest.approx(scores[f"eval_{name}_accuracy"])
    for name in ("topics", "similarity"):
        assert table.query("task == @name")["loss"].mean() == pytest.approx(scores[f"eval_{name}_loss"], abs=1e-5)
    slots = table.query("task == 'slots'")
    words = sum(tag is not None for tags in slots["reference"] for tag in tags)
    assert slots["loss"].sum() / words == pytest.approx(scores["eval_slots_loss"], abs=1e-5)
    assert table.query("task == 'right'")["right"].mean() == pytest.approx(scores["eval_right_accuracy"])
    assert table.query("task == 'answer'")["right"].mean() == pytest.approx(scores["eval_answer_exact_match"])


def test_probabilities_are_those_of_the_prediction(trainer, table):
    for name in ("intent", "mood"):
        for row in table.query("task == @name").itertuples():
            labels = trainer.model.config.task(name).labels
            assert sum(row.probabilities) == pytest.approx(1)
            assert labels[int(np.argmax(row.probabilities))] == row.prediction
    for row in table.query("task == 'topics'").itertuples():
        named = [label for label, p in zip(TOPICS.labels, row.probabilities, strict=True) if p >= 0.5]
        assert named == row.prediction


def test_errors_are_the_wrong_rows_with_the_highest_loss_first(trainer, table):
    found = errors(trainer)
    assert not found["right"].astype(bool)[found["task"] != "similarity"].any()
    assert len(found) == (table["right"].eq(False)).sum() + (table["task"] == "similarity").sum()
    for _, rows in found.groupby("task"):
        assert rows["loss"].dropna().is_monotonic_decreasing
    only = errors(trainer, "sst", tasks=["mood"])
    assert set(only["task"]) == {"mood"}


def test_confusions_and_reports_are_those_of_scikit_learn(trainer, table):
    found = errors_by_task(trainer)
    for name in ("intent", "mood"):
        rows, labels = table.query("task == @name"), list(trainer.model.config.task(name).labels)
        expected = confusion_matrix(rows["reference"], rows["prediction"], labels=labels)
        assert (found[name].confusion.to_numpy() == expected).all()
        report = classification_report(rows["reference"], rows["prediction"], output_dict=True, zero_division=0.0)
        for label in set(rows["reference"]) | set(rows["prediction"]):
            assert found[name].labels.loc[label, "f1"] == pytest.approx(report[label]["f1-score"])
            assert found[name].labels.loc[label, "support"] == report[label]["support"]
    tags = found["slots"].confusion
    assert tags.to_numpy().sum() == sum(
        tag is not None for row in table.query("task == 'slots'")["reference"] for tag in row
    )
    assert found["topics"].confusion.empty
    assert list(found["topics"].labels.index) == ["film", "book"]
    assert found["similarity"].labels.empty


def test_entities_that_are_missed_and_made_up_add_up_to_the_report(trainer):
    found = errors_by_task(trainer)["slots"]
    scores = trainer.evaluate("snips")
    city = found.labels.loc["city"]
    assert city["f1"] == pytest.approx(scores["eval_slots_city_f1"])
    counts = found.entities.groupby("error").size()
    right = round(city["recall"] * city["support"])
    assert counts.get("missed", 0) == city["support"] - right
    assert counts.get("false", 0) == city["predicted"] - right
    assert all(entity in text for entity, text in zip(found.entities["entity"], found.entities["text"], strict=True))


def test_what_is_asked_for_wrongly_is_refused(trainer):
    with pytest.raises(ValueError, match="Did you mean 'mood'"):
        errors(trainer, tasks=["moods"])
    with pytest.raises(ValueError, match="No row labels any of the tasks 'mood'"):
        errors(trainer, "snips", tasks=["mood"])
