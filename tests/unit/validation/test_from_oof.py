"""What out-of-fold probabilities are good for."""

import numpy as np
import pytest
from datasets import Dataset

from hf_mtl import MultiTaskModel, TaskConfig
from hf_mtl.data import Prediction, write_predictions
from hf_mtl.metrics import best_thresholds
from hf_mtl.trainer import calibrate_task
from hf_mtl.validation import calibrate_from_oof, label_errors, tune_thresholds_from_oof
from tests.encoders import tiny_encoder

MOOD = TaskConfig("mood", "sequence-classification", labels=["bad", "good"])
TOPICS = TaskConfig("topics", "multi-label-classification", labels=["a", "b", "c"])
TAGS = TaskConfig("tags", "token-classification", labels=["O", "B-city", "I-city"])
SCORE = TaskConfig("score", "regression")
TASKS = [MOOD, TOPICS, TAGS, SCORE]


@pytest.fixture
def data():
    """Fifty rows of which a few labels are wrong: rows 3 and 8 of the mood, word 1 of row 5, topic c of row 7."""
    generator = np.random.default_rng(0)
    moods = ["good" if i % 2 else "bad" for i in range(50)]
    topics = [[t for j, t in enumerate("abc") if (i >> j) % 2] for i in range(50)]
    tags = [["O", "B-city" if i % 2 else "O", "O"] for i in range(50)]
    kept = {
        name: [list(v) if isinstance(v, list) else v for v in values]
        for name, values in (("mood", moods), ("topics", topics), ("tags", tags))
    }

    def sure(right, count):
        own = generator.uniform(0.01, 0.1, count)
        own[right] = 1 - own.sum() + own[right]
        return own.tolist()

    predictions = []
    for i in range(50):
        predictions += [
            Prediction("x", i, "mood", sure(MOOD.labels.index(moods[i]), 2), 0),
            Prediction("x", i, "topics", [0.95 if t in topics[i] else 0.05 for t in "abc"], 0),
            Prediction("x", i, "tags", [sure(TAGS.labels.index(tag), 3) for tag in tags[i]], 0),
            Prediction("x", i, "score", [1.0], 0),
        ]
    predictions[6 * 4 + 2].probabilities[2] = None  # a word that was not read
    for row in (3, 8):
        kept["mood"][row] = "bad" if kept["mood"][row] == "good" else "good"
    kept["mood"][4] = None
    kept["tags"][5][1] = "O"
    kept["topics"][7] = [t for t in kept["topics"][7] if t != "c"]
    rows = Dataset.from_dict({"tokens": [[f"w{i}", "in", "paris"] for i in range(50)], **kept, "score": [1.0] * 50})
    return predictions, {"x": rows}


@pytest.fixture
def oof(data, tmp_path):
    path = tmp_path / "oof.parquet"
    write_predictions(path, data[0], {task.name: task.labels for task in TASKS}, ["tags"])
    return path


def test_labels_that_are_wrong_are_found_first(data, oof):
    pytest.importorskip("cleanlab")
    found = label_errors(oof, data[1], TASKS, "mood")
    assert sorted(found["row"]) == [3, 8]
    assert set(zip(found["row"], found["given"], found["suggested"], strict=True)) == {
        (3, "bad", "good"),
        (8, "good", "bad"),
    }
    assert (found["probability"] < 0.5).all()
    [tag] = label_errors(oof, data[1], TASKS, "tags").to_dict("records")
    assert (tag["row"], tag["word"], tag["text"], tag["given"], tag["suggested"]) == (5, 1, "in", "O", "B-city")
    [topic] = label_errors(oof, data[1], TASKS, "topics").to_dict("records")
    assert (topic["row"], topic["given"], topic["suggested"]) == (7, ["a", "b"], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("task", "message"),
    [("score", "'score': regression has no classes"), ("moods", "'moods' is no task. Did you mean 'mood'")],
)
def test_tasks_without_classes_have_no_label_errors(data, oof, task, message):
    with pytest.raises(ValueError, match=message):
        label_errors(oof, data[1], TASKS, task)


@pytest.mark.parametrize("how", ["per-label", "global"])
def test_thresholds_are_tuned_on_rows_that_the_fold_models_did_not_see(data, oof, how):
    predictions, rows = data
    model = MultiTaskModel.from_encoder(tiny_encoder(), [MOOD, TOPICS])
    tuned = tune_thresholds_from_oof(model, oof, rows, how=how)
    scores = [p.probabilities for p in predictions if p.task == "topics"]
    flags = [[t in own for t in "abc"] for own in rows["x"]["topics"]]
    assert list(tuned) == ["topics"]
    assert np.array(tuned["topics"].thresholds) == pytest.approx(
        np.array(best_thresholds(np.array(scores), np.array(flags), how))
    )
    assert tuned["topics"].rows == 50
    assert model.config.task("topics").thresholds == tuned["topics"].thresholds


def test_probabilities_of_other_labels_or_rows_are_refused(data, oof):
    other = TaskConfig("topics", "multi-label-classification", labels=["c", "b", "a"])
    with pytest.raises(ValueError, match="its labels are 'a', 'b', 'c', and the task's 'c', 'b', 'a'"):
        tune_thresholds_from_oof(MultiTaskModel.from_encoder(tiny_encoder(), [other]), oof, data[1])
    with pytest.raises(ValueError, match="has no multi-label task of the model"):
        tune_thresholds_from_oof(MultiTaskModel.from_encoder(tiny_encoder(), [MOOD]), oof, data[1])
    more = Dataset.from_dict({"text": ["a"] * 51, "topics": [["a"]] * 51})
    with pytest.raises(ValueError, match="row 50, task 'topics'"):
        tune_thresholds_from_oof(MultiTaskModel.from_encoder(tiny_encoder(), [TOPICS]), oof, {"x": more})


@pytest.fixture
def answered(tmp_path):
    """Logits of a model that is too sure, the labels, and a file of the probabilities that it gave."""
    generator = np.random.default_rng(1)
    logits = {"mood": generator.normal(size=(60, 2)), "topics": generator.normal(size=(60, 3))}
    flags = generator.random((60, 3)) < 1 / (1 + np.exp(-logits["topics"]))
    moods = (generator.random(60) < 1 / (1 + np.exp(logits["mood"][:, 0] - logits["mood"][:, 1]))).astype(int)
    logits = {name: (4 * each).astype(np.float32) for name, each in logits.items()}
    powers = np.exp(logits["mood"])
    own = {"mood": powers / powers.sum(1, keepdims=True), "topics": 1 / (1 + np.exp(-logits["topics"]))}
    predictions = [Prediction("x", i, name, own[name][i].tolist(), 0) for i in range(60) for name in own]
    path = tmp_path / "oof.parquet"
    write_predictions(path, predictions, {"mood": MOOD.labels, "topics": TOPICS.labels}, [])
    topics = [[t for t, flag in zip("abc", row, strict=True) if flag] for row in flags]
    rows = {"text": [f"text {i}" for i in range(60)], "mood": [MOOD.labels[i] for i in moods], "topics": topics}
    return path, {"x": Dataset.from_dict(rows)}, logits, {"mood": np.eye(2)[moods], "topics": flags.astype(float)}


def test_temperatures_and_thresholds_of_sets_are_those_of_the_logits_themselves(answered):
    path, rows, logits, targets = answered
    mine, theirs = (MultiTaskModel.from_encoder(tiny_encoder(), TASKS) for _ in range(2))
    found = calibrate_from_oof(mine, path, rows, coverage=0.8)
    assert list(found) == ["mood", "topics"]
    for name in logits:
        expected = calibrate_task(theirs, name, logits[name], targets[name], [0.8])
        assert found[name].temperature == pytest.approx(expected.temperature, rel=1e-4)
        assert found[name].temperature > 2
        assert found[name].after == pytest.approx(expected.after, abs=1e-5)
    sets = [model.config.task("mood").conformal_thresholds["0.8"] for model in (mine, theirs)]
    assert sets[0] == pytest.approx(sets[1], abs=1e-6)
    # Fitted once more it is the same: what is in the file was not divided.
    again = calibrate_from_oof(mine, path, rows)
    assert {name: each.temperature for name, each in again.items()} == {n: e.temperature for n, e in found.items()}


def test_thresholds_of_a_calibrated_model_decide_on_its_calibrated_scores(answered):
    path, rows, logits, _ = answered
    plain, calibrated = (MultiTaskModel.from_encoder(tiny_encoder(), TASKS) for _ in range(2))
    calibrate_from_oof(calibrated, path, rows, tasks=["topics"])
    decisions = []
    for model in (plain, calibrated):
        tune_thresholds_from_oof(model, path, rows)
        task = model.config.task("topics")
        scores = 1 / (1 + np.exp(-logits["topics"] / (task.calibration_temperature or 1)))
        decisions.append(scores >= np.array(task.thresholds))
    assert (decisions[0] == decisions[1]).all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tasks": ["tags"]}, "has no probabilities of 'tags'. Its tasks: 'mood', 'topics'"),
        ({"tasks": ["score"]}, "'score': answers of the type 'regression' have no probabilities"),
        ({"tasks": ["topics"], "coverage": 0.9}, "coverage would be without effect"),
    ],
)
def test_what_the_file_cannot_calibrate_is_said(answered, asked, message):
    path, rows, *_ = answered
    with pytest.raises(ValueError, match=message):
        calibrate_from_oof(MultiTaskModel.from_encoder(tiny_encoder(), TASKS), path, rows, **asked)
