"""What is wrong with rows is found when the trainer is built, before any step."""

import logging

import pytest
from datasets import Dataset

from hf_mtl import MultiTaskModel, TaskConfig, infer_tasks
from hf_mtl.data import DataError
from hf_mtl.trainer._summary import summary_table
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data


def with_column(data, name, change):
    return data.remove_columns(name).add_column(name, [change(i, value) for i, value in enumerate(data[name])])


@pytest.mark.parametrize("where", ["train", "evaluation"])
def test_one_wrong_label_is_found_wherever_it_is(build, data, where):
    wrong = with_column(data["sst"], "mood", lambda i, mood: "goood" if i == 11 else mood)
    name = "sst" if where == "train" else r"sst \(validation\)"
    with pytest.raises(DataError, match=f"Dataset '{name}', row 11, task 'mood': label 'goood' .*mean 'good'"):
        build(**{where: {**data, "sst": wrong}})


def test_rows_need_not_be_checked(build, data):
    wrong = with_column(data["sst"], "mood", lambda i, mood: "goood" if i == 11 else mood)
    trainer = build(train={**data, "sst": wrong}, trainer_kwargs={"check_data": False})
    assert trainer.label_counts == {}
    with pytest.raises(ValueError, match=r"Dataset 'sst', row 11, task 'mood'"):
        trainer.train()


def test_a_misspelt_column_of_a_new_head_is_refused_with_its_name(build, data):
    rows = data["snips"].rename_column("intent", "intnet")
    with pytest.raises(
        ValueError,
        match=r"Task 'intent': no training row has a label. Did you mean 'intnet', a column of dataset 'snips'\? "
        r"Its head is new and would stay random. Rename the column .* or freeze its head: frozen_heads=\['intent'\]",
    ):
        build(train={**data, "snips": rows})


def test_a_task_without_labels_in_its_column_is_one_without_rows(build, data):
    rows = with_column(data["sst"], "mood", lambda i, mood: None if i else "")
    with pytest.raises(ValueError, match=r"Task 'mood': no training row has a label"):
        build(train={**data, "sst": rows})


@pytest.mark.parametrize("how", ["argument", "model", "loaded", "trained"])
def test_a_head_that_is_frozen_or_trained_may_be_without_rows(build, data, how, caplog, tmp_path):
    rows = data["snips"].rename_column("intent", "intnet")
    model, kwargs = MultiTaskModel.from_encoder(tiny_encoder(), TASKS), {}
    if how == "argument":
        kwargs = {"frozen_heads": ["intent"]}
    elif how == "model":
        model.freeze(heads=["intent"])
    elif how == "loaded":
        model.save_pretrained(tmp_path / "model")
        model = MultiTaskModel.from_pretrained(tmp_path / "model")
    else:
        build(model=model, evaluation=None, max_steps=1).train()
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        build(model=model, train={**data, "snips": rows}, **kwargs)
    assert "Task 'intent': no training row has a label. Did you mean 'intnet'" in caplog.text


def test_labels_without_a_row_are_named(build, data, caplog):
    rows = with_column(data["snips"], "intent", lambda i, intent: "play" if intent == "none" else intent)
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        build(train={**data, "snips": rows})
    assert "Task 'intent': labels that no training row has: 'none'." in caplog.text


def test_the_table_counts_rows_without_a_label(build, data):
    def columns(trainer):
        return [column.header for column in summary_table(trainer.summary()).columns]

    assert "unlabelled" not in columns(build())
    rows = with_column(data["sst"], "mood", lambda i, mood: None if i < 3 else mood)
    trainer = build(train={**data, "sst": rows})
    assert "unlabelled" in columns(trainer)
    assert trainer.label_counts["sst"]["mood"].unlabelled == 3
    assert [task["unlabelled"] for item in trainer.summary() for task in item["tasks"]] == [0, 0, 3, 0]


def test_python_needs_no_more_than_names_of_tasks(build):
    data = {"films": Dataset.from_dict({"text": ["good film", "bad film"] * 8, "opinion": ["pos", "neg"] * 8})}
    tasks = infer_tasks(data, [TaskConfig("opinion")])
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), tasks), data, data, max_steps=1)
    assert "eval_opinion_accuracy" in trainer.evaluate()


#: What is wrong -> the dataset, its column, the cell of row 11, and what the message says.
WRONG_CELLS = {
    "label": ("sst", "mood", "goood", r"Dataset 'sst', row 11, task 'mood': label 'goood' .*mean 'good'"),
    "tags": ("snips", "slots", ["O"] * 99, r"Dataset 'snips', row 11, task 'slots': 99 tags for \d+ tokens"),
    "number": (
        "sts",
        "similarity",
        float("inf"),
        r"Dataset 'sts', row 11, task 'similarity': label inf is not a finite",
    ),
    "text": ("sst", "text", None, r"Dataset 'sst', row 11: column 'text' is null\. Give a text"),
    "words": ("snips", "tokens", None, r"Dataset 'snips', row 11: column 'tokens' is null"),
    "long": ("sst", "text", "a" * 1_000_001, r"Dataset 'sst', row 11: a text of 1,000,001 characters"),
}
CALLS = {
    "evaluate": lambda trainer, data: trainer.evaluate(data),
    "predict": lambda trainer, data: trainer.predict(data),
    "get_eval_dataloader": lambda trainer, data: trainer.get_eval_dataloader(data),
    "get_test_dataloader": lambda trainer, data: trainer.get_test_dataloader(data),
}


def test_rows_given_to_a_call_are_checked_before_the_first_pass(build):
    trainer, data = build(), make_data(scale=2)
    passes = []
    trainer.model.register_forward_pre_hook(lambda *_: passes.append(1))
    for dataset, column, cell, message in WRONG_CELLS.values():
        wrong = with_column(data[dataset], column, lambda i, value, cell=cell: cell if i == 11 else value)
        for call in CALLS.values():
            with pytest.raises(DataError, match=message):
                call(trainer, {**data, dataset: wrong})
    assert not passes


def test_thresholds_are_tuned_on_checked_rows(build, data):
    wrong = with_column(data["sst"], "mood", lambda i, mood: "goood" if i == 11 else mood)
    with pytest.raises(DataError, match="Dataset 'sst', row 11, task 'mood'"):
        build().tune_thresholds({"sst": wrong})


def test_rows_given_to_a_call_need_not_be_checked(build, data):
    wrong = with_column(data["sst"], "mood", lambda i, mood: "goood" if i == 11 else mood)
    trainer = build(trainer_kwargs={"check_data": False})
    trainer.get_eval_dataloader({"sst": wrong})  # reading the row says so
    with pytest.raises(ValueError, match="Dataset 'sst', row 11, task 'mood'"):
        trainer.evaluate({"sst": wrong})


def topics(weight=1.0, count=10):
    return TaskConfig("topics", "multi-label-classification", labels=[f"t{i}" for i in range(count)], weight=weight)


@pytest.mark.parametrize(
    ("task", "changes", "beside", "is_said"),
    [
        (topics(), {}, True, True),
        (topics(), {}, False, False),
        (topics(count=9), {}, True, False),
        (topics(weight=10), {}, True, False),
        (topics(weight=2), {}, True, False),
        (topics(), {"balancing": "uncertainty"}, True, False),
    ],
)
def test_a_mean_over_many_labels_beside_other_tasks_is_said(build, data, caplog, task, changes, beside, is_said):
    rows = Dataset.from_dict({"text": ["play a song"] * 9, "topics": [[f"t{i}"] for i in range(9)]})
    tasks = [*TASKS, task] if beside else [task]
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        build(
            MultiTaskModel.from_encoder(tiny_encoder(), tasks),
            train={**(data if beside else {}), "papers": rows},
            evaluation={},
            **changes,
        )
    said = "Task 'topics': its loss is the mean over 10 labels, small beside those of other tasks"
    assert (said in caplog.text) == is_said
    assert ("Set weight: 10 to sum over the labels" in caplog.text) == is_said
