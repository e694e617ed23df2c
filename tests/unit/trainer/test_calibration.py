"""Calibration: how sure answers are changes, and nothing else."""

import copy
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ProgressCallback, pipeline
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.cli import app
from hf_mtl.heads import AnswerOptions
from hf_mtl.inference import predict, probabilities
from hf_mtl.trainer import with_temperature
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

TOPICS = TaskConfig("topics", "multi-label-classification", labels=["film", "book"], thresholds=[0.4, 0.55])
CALIBRATED = {"intent", "slots", "mood", "topics"}
TEXTS = ["play a film in paris", "bad book", "anna is not very good", "rome", "song by bob in the film"]


@pytest.fixture
def rows(data):
    topics = data["sst"].map(lambda row: {"topics": [t for t in ("film", "book") if t in row["text"]]})
    return {**data, "sst": topics}


@pytest.fixture
def model():
    model = MultiTaskModel.from_encoder(tiny_encoder(), [*TASKS, TOPICS])
    torch.manual_seed(3)
    for head in model.task_heads.values():
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.5)
    return model


def decisions(model, tokenizer):
    found = []
    for answer in predict(model, tokenizer, TEXTS):
        entities = [(e["entity_group"], e["start"], e["end"]) for e in answer["slots"]]
        labels = sorted(a["label"] for a in answer["topics"])
        found.append((answer["intent"]["label"], answer["mood"]["label"], entities, labels, answer["similarity"]))
    return found


def test_temperatures_are_found_kept_and_change_no_decision(build, rows, model, tokenizer, tmp_path):
    trainer = build(copy.deepcopy(model), rows, rows)
    before, scores = decisions(trainer.model, tokenizer), trainer.evaluate()
    calibrated = trainer.calibrate()
    assert calibrated.keys() == CALIBRATED
    assert decisions(trainer.model, tokenizer) == before
    after = trainer.evaluate()
    kept = [key for key in scores if key.endswith(("accuracy", "f1", "f1_micro", "f1_macro", "pearson"))]
    assert len(kept) > 6
    assert {key: after[key] for key in kept} == {key: scores[key] for key in kept}
    for name, found in calibrated.items():
        assert found.temperature != 1, name
        assert found.after["negative_log_likelihood"] < found.before["negative_log_likelihood"]
    assert calibrated["slots"].items == sum(map(len, rows["snips"]["tokens"]))
    trainer.model.save_pretrained(tmp_path / "saved")
    loaded = MultiTaskModel.from_pretrained(tmp_path / "saved")
    assert loaded.tasks == trainer.model.tasks
    assert {t.name: t.calibration_temperature for t in loaded.tasks if t.calibration_temperature} == {
        name: found.temperature for name, found in calibrated.items()
    }


def test_calibrating_twice_changes_nothing(build, rows, model):
    trainer = build(model, rows, rows)
    first = trainer.calibrate()
    tasks = trainer.model.tasks
    second = trainer.calibrate()
    assert trainer.model.tasks == tasks
    for name, found in second.items():
        assert found.before == found.after == first[name].after


def test_answers_divide_by_the_temperature_wherever_they_are_given(model, tokenizer):
    texts, everything = TEXTS[:2], AnswerOptions(top_k="all")
    raw = list(predict(model, tokenizer, texts, tasks=["intent", "topics"], options=everything))
    for name, temperature in (("intent", 2.0), ("topics", 0.5)):
        model.replace_task(dataclasses.replace(model.config.task(name), calibration_temperature=temperature))
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")
    for answers in (
        list(predict(model, tokenizer, texts, tasks=["intent", "topics"], options=everything)),
        pipe(texts, tasks=["intent", "topics"], top_k=None),
        [
            {
                name: [{"label": a, "score": b} for a, b in zip(model.config.task(name).labels, each[0], strict=True)]
                for name, each in row.items()
            }
            for row in probabilities(model, tokenizer, texts, tasks=["intent", "topics"])
        ],
    ):
        for old, new in zip(raw, answers, strict=True):
            powers = {a["label"]: a["score"] ** 0.5 for a in old["intent"]}
            expected = {label: power / sum(powers.values()) for label, power in powers.items()}
            assert {a["label"]: a["score"] for a in new["intent"]} == pytest.approx(expected, abs=1e-6)
            odds = {a["label"]: (a["score"] / (1 - a["score"])) ** 2 for a in old["topics"]}
            expected = {label: value / (1 + value) for label, value in odds.items()}
            assert {a["label"]: a["score"] for a in new["topics"]} == pytest.approx(expected, abs=1e-6)


def test_stock_pipelines_give_the_same_scores(model, tokenizer):
    model.replace_task(dataclasses.replace(model.config.task("intent"), calibration_temperature=3.0))
    ours = [answer["intent"] for answer in predict(model, tokenizer, TEXTS, tasks=["intent"])]
    for each in (model.for_task("intent"), model.to_transformers("intent")):
        pipe = pipeline("text-classification", model=each, tokenizer=tokenizer, device="cpu")
        for mine, theirs in zip(ours, pipe(TEXTS), strict=True):
            assert theirs["label"] == mine["label"]
            assert theirs["score"] == pytest.approx(mine["score"], abs=1e-5)


def test_training_ends_with_it_and_further_training_drops_it(build, rows, model):
    trainer = build(model, rows, rows, calibrate=True, max_steps=1)
    trainer.train()
    assert trainer.calibrated_tasks.keys() == CALIBRATED
    assert all(trainer.model.config.task(name).calibration_temperature for name in CALIBRATED)
    trainer.save_model()
    card = (Path(trainer.args.output_dir) / "README.md").read_text()
    assert all(card.count(f"| `{name}` | {found.items:,} |") == 1 for name, found in trainer.calibrated_tasks.items())
    assert "They were not calibrated" not in card
    again = build(trainer.model, rows, rows, max_steps=1)
    again.train()
    again.save_model()
    card = (Path(trainer.args.output_dir) / "README.md").read_text()
    assert "They were not calibrated" in card
    assert "Calibration" not in card
    assert [task.calibration_temperature for task in again.model.tasks] == [None] * 5
    assert again.model.config.task("topics").thresholds == pytest.approx(TOPICS.thresholds)


def test_thresholds_follow_the_temperature_and_back():
    task = with_temperature(TOPICS, 3.0)
    logits = np.linspace(-5, 5, 41)
    for mine, theirs in zip(task.thresholds, TOPICS.thresholds, strict=True):
        assert ((1 / (1 + np.exp(-logits / 3)) >= mine) == (1 / (1 + np.exp(-logits)) >= theirs)).all()
    back = with_temperature(task, None)
    assert back.calibration_temperature is None
    assert back.thresholds == pytest.approx(TOPICS.thresholds)
    assert with_temperature(dataclasses.replace(TOPICS, thresholds=None), 3.0).thresholds is None


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), 1e-3, 1000, True, "2", [2.0]])
def test_what_is_no_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match=r"Task 'a': a temperature is a number in \[0.01, 100\]"):
        TaskConfig("a", "sequence-classification", labels=["x", "y"], calibration_temperature=temperature)


@pytest.mark.parametrize("type", ["regression", "crf-tagging", "question-answering", "multiple-choice", "masked-lm"])
def test_types_without_such_probabilities_are_refused(build, type, data):
    labels = ["O", "B-x"] if type == "crf-tagging" else None
    task = TaskConfig("a", type, labels=labels, calibration_temperature=2.0)
    with pytest.raises(ValueError, match=f"calibration_temperature is for probabilities .* those of {type} are not"):
        MultiTaskModel.from_encoder(tiny_encoder(), [task])


def test_what_cannot_be_calibrated_is_said_before_and_after(build, rows, model):
    with pytest.raises(ValueError, match="'similarity': answers of the type 'regression' have no probabilities"):
        build(model, rows, rows).calibrate(tasks=["similarity"])
    with pytest.raises(ValueError, match="Did you mean 'intent'"):
        build(model, rows, rows).calibrate(tasks=["intents"])
    with pytest.raises(ValueError, match="No row labels a task with probabilities"):
        build(model, rows, rows).calibrate({"sts": rows["sts"]})
    with pytest.raises(ValueError, match="calibrate=True needs validation rows"):
        build(model, rows, {"sts": rows["sts"]}, calibrate=True)


def test_the_command_writes_a_calibrated_model(rows, model, tokenizer, tmp_path):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows["sst"].to_json(tmp_path / "sst.jsonl")
    columns = {name: name for name in ("text", "mood", "topics")}
    load = {"path": "json", "data_files": dict.fromkeys(("train", "validation"), str(tmp_path / "sst.jsonl"))}
    recipe = {"encoder": "x", "datasets": {"sst": {"load": load, "columns": columns}}, "training": {"use_cpu": True}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    call = ["calibrate", tmp_path / "model", tmp_path / "recipe.yaml", "--tasks", "mood"]
    planned = CliRunner().invoke(app, list(map(str, [*call, "--dry-run"])))
    assert planned.exit_code == 0, planned.output
    count = len(rows["sst"])
    assert planned.output.startswith(f"No training: one pass over {count} rows (sst {count}), about 2 batches of 8.")
    nowhere = CliRunner().invoke(app, list(map(str, call)))
    assert (nowhere.exit_code, "--output is missing" in nowhere.output) == (2, True)
    call += ["-o", tmp_path / "out"]
    done = CliRunner().invoke(app, list(map(str, call)))
    assert done.exit_code == 0, done.output
    assert "Temperature of 'mood': " in done.output
    assert "'topics' was not calibrated" in done.output
    out = MultiTaskModel.from_pretrained(tmp_path / "out")
    changed = [task.name for task in out.tasks if task != model.config.task(task.name)]
    assert changed == ["mood"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert re.search(r"## Calibration\n(.*\n)+\| `mood` \| 16 \|", card)
    assert "Scores of `mood` were calibrated" in card
    assert all(torch.equal(a, b) for a, b in zip(out.parameters(), model.parameters(), strict=True))


def test_metrics_of_probabilities_are_scored_beside_others(build, rows, model):
    named = ["expected_calibration_error", "brier_score", "negative_log_likelihood"]
    metrics = {"intent": ["accuracy", *named], "slots": ["seqeval", *named], "topics": ["multilabel_f1", *named]}
    trainer = build(model, rows, rows, {"metrics": metrics}, per_device_eval_batch_size=5)
    before = trainer.evaluate()
    calibrated = trainer.calibrate()
    after = trainer.evaluate()
    for name in metrics:
        for key in named:
            assert before[f"eval_{name}_{key}"] == pytest.approx(calibrated[name].before[key], abs=1e-6)
            assert after[f"eval_{name}_{key}"] == pytest.approx(calibrated[name].after[key], abs=1e-6)
    assert before["eval_intent_negative_log_likelihood"] == pytest.approx(before["eval_intent_loss"], abs=1e-5)
    with pytest.raises(ValueError, match="metric 'brier_score' does not fit the type 'regression'"):
        build(model, rows, rows, {"metrics": {"similarity": ["brier_score"]}})


def test_its_bar_is_gone_when_it_ends(build, rows, model):
    """What is printed next would lie in the bar's line."""
    trainer, shown = build(model, rows, rows), ProgressCallback()
    trainer.add_callback(shown)
    steps = []
    shown.on_prediction_step = lambda *args, **kwargs: (
        ProgressCallback.on_prediction_step(shown, *args, **kwargs),
        steps.append(shown.prediction_bar),
    )
    trainer.calibrate()
    assert steps[0] is not None
    assert shown.prediction_bar is None
