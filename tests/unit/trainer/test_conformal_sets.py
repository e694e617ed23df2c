"""Sets of labels in answers: found by calibration, kept in the task's config, given wherever answers are."""

import csv
import dataclasses
import json

import pytest
from transformers import pipeline
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.heads import AnswerOptions
from hf_mtl.inference import predict, probabilities
from hf_mtl.trainer import with_temperature
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

TEXTS = ["play a film in paris", "bad book", "anna is not very good", "rome", "song by bob in the film"]
SINGLE = ["intent", "mood"]


@pytest.fixture
def model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


def with_sets(model, **thresholds):
    for name, threshold in thresholds.items():
        task = model.config.task(name)
        model.replace_task(dataclasses.replace(task, conformal_thresholds={"0.9": threshold}))
    return model


def test_calibration_finds_thresholds_that_the_rows_ask_for_and_finds_them_again(build, model, data, tmp_path):
    trainer = build(model, data, data)
    found = trainer.calibrate(coverage=[0.5, 0.9])
    for name in SINGLE:
        task = trainer.model.config.task(name)
        assert list(task.conformal_thresholds) == ["0.5", "0.9"]
        assert 0 < task.conformal_thresholds["0.9"] < task.conformal_thresholds["0.5"] < 1
        assert task.conformal_thresholds == found[name].conformal_thresholds
    assert not trainer.model.config.task("slots").conformal_thresholds
    trainer.model.save_pretrained(tmp_path)
    assert MultiTaskModel.from_pretrained(tmp_path).tasks == trainer.model.tasks
    tasks = trainer.model.tasks
    trainer.calibrate()
    assert trainer.model.tasks == tasks
    again = build(trainer.model, data, data, max_steps=1)
    again.train()
    assert not any(task.conformal_thresholds for task in again.model.tasks)


def test_on_the_rows_of_calibration_sets_hold_the_truth_as_often_as_was_asked_for(build, model, data, tokenizer):
    trainer = build(model, data, data)
    trainer.calibrate(coverage=0.6)
    task, rows = model.config.task("intent"), data["snips"]
    found = [
        row["intent"][0] for row in probabilities(model, tokenizer, rows.select_columns("tokens"), tasks=["intent"])
    ]
    own = [scores[task.labels.index(label)] for scores, label in zip(found, rows["intent"], strict=True)]
    held = sum(score >= task.conformal_thresholds["0.6"] - 1e-6 for score in own)
    assert held == 15  # of 24: 0.6 * 25


def test_sets_are_the_labels_above_the_threshold_wherever_answers_are_given(model, tokenizer, tmp_path):
    with_sets(model, intent=0.3, mood=0.5)
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")
    asked = {"tasks": ["intent", "mood", "slots"], "coverage": 0.9}
    answers = pipe(TEXTS, **asked)
    ranked = pipe(TEXTS, tasks=SINGLE, top_k=None)
    plain = pipe(TEXTS, tasks=asked["tasks"])
    sizes = set()
    for answer, every, alone in zip(answers, ranked, plain, strict=True):
        for name, threshold in (("intent", 0.3), ("mood", 0.5)):
            scores = answer[name]["scores"] if name == "mood" else {a["label"]: a["score"] for a in every[name]}
            expected = sorted((pair for pair in scores.items() if pair[1] >= threshold), key=lambda pair: -pair[1])
            assert [(each["label"], each["score"]) for each in answer[name].pop("set")] == expected
            sizes.add(len(expected))
        assert answer == alone
    assert len(sizes) > 1
    options = AnswerOptions(coverage=0.9)
    assert list(predict(model, tokenizer, TEXTS, tasks=asked["tasks"], options=options)) == pipe(TEXTS, **asked)


def test_the_commands_find_and_give_sets(model, data, tokenizer, tmp_path):
    for saved in (model, tokenizer):
        saved.save_pretrained(tmp_path / "model")
    data["snips"].to_json(tmp_path / "snips.jsonl")
    load = {"path": "json", "data_files": dict.fromkeys(("train", "validation"), str(tmp_path / "snips.jsonl"))}
    columns = {"tokens": "tokens", "intent": "intent"}
    recipe = {"encoder": "x", "datasets": {"snips": {"load": load, "columns": columns}}, "training": {"use_cpu": True}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    given = ["calibrate", "model", "recipe.yaml", "-o", "out", "--coverage", "0.6", "--coverage", "0.9"]
    done = CliRunner().invoke(app, [str(tmp_path / a) if a in ("model", "recipe.yaml", "out") else a for a in given])
    assert done.exit_code == 0, done.output
    assert "sets with coverage 0.9: labels with a score of at least " in done.output
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    for ending in ("jsonl", "csv"):
        output = tmp_path / f"answers.{ending}"
        call = ["predict", tmp_path / "out", texts, "-o", output, "--tasks", "intent", "--coverage", "0.9"]
        done = CliRunner().invoke(app, list(map(str, call)))
        assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    with (tmp_path / "answers.csv").open() as stream:
        cells = [json.loads(row["intent.set"]) for row in csv.DictReader(stream)]
    assert [line["intent"]["set"] for line in lines] == cells
    assert {each["label"] for cell in cells for each in cell} <= set(TASKS[0].labels)
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "out"), "a good film", "--coverage", "0.9"])
    assert done.exit_code == 2
    assert "'mood': coverage=0.9 has no threshold" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"coverage": 0.8}, "'intent': coverage=0.8 has no threshold. The task has some for the coverages '0.9'"),
        ({"coverage": 0.9, "tasks": ["slots"]}, "coverage=0.9 would be without effect"),
        ({"coverage": 0.9, "top_k": 2}, "top_k and coverage both choose"),
        *(({"coverage": value}, "coverage must be a number above 0 and below 1") for value in (0, 1, 90, "0.9", True)),
    ],
)
def test_what_cannot_be_asked_is_said_before_a_text_is_read(model, tokenizer, arguments, words):
    with_sets(model, intent=0.3, mood=0.5)
    with pytest.raises(ValueError, match=words):
        pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu", **arguments)


def test_what_cannot_be_found_is_said(build, model, data):
    trainer = build(model, data, data)
    with pytest.raises(ValueError, match=r"coverage would be without effect.* 'slots'"):
        trainer.calibrate(tasks=["slots"], coverage=0.9)
    with pytest.raises(ValueError, match=r"coverage must be a number above 0 and below 1, found 1\.5"):
        trainer.calibrate(coverage=1.5)
    assert not any(task.calibration_temperature for task in trainer.model.tasks)


@pytest.mark.parametrize(
    ("type", "thresholds", "words"),
    [
        ("sequence-classification", {"0.9": 1.5}, "'a': conformal_thresholds of coverage 0.9 must be a probability"),
        ("sequence-classification", {"all": 0.5}, "coverage must be a number above 0 and below 1, found 'all'"),
        ("sequence-classification", [0.5], "'a': conformal_thresholds must be a mapping"),
        ("multi-label-classification", {"0.9": 0.5}, "'a': conformal_thresholds are for tasks with one label a row"),
        ("token-classification", {"0.9": 0.5}, "'a': conformal_thresholds are for tasks with one label a row"),
        ("regression", {"0.9": 0.5}, "'a': conformal_thresholds are for tasks with one label a row"),
    ],
)
def test_thresholds_that_no_task_can_have_are_refused(type, thresholds, words):
    labels = None if type == "regression" else ["O", "B-x"]

    def make():
        task = TaskConfig("a", type, labels=labels, conformal_thresholds=thresholds)
        MultiTaskModel.from_encoder(tiny_encoder(), [task])

    with pytest.raises(ValueError, match=words):
        make()


def test_another_temperature_drops_them():
    task = TaskConfig("a", "sequence-classification", labels=["x", "y"], conformal_thresholds={0.9: 0.2})
    assert task.conformal_thresholds == {"0.9": 0.2}
    assert not with_temperature(task, 2.0).conformal_thresholds
    assert with_temperature(task, None) == task
