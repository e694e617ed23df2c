"""What lies beside a model says what holds for its weights as they are, whatever was done to it before."""

import json
import math
import re

import pytest
from datasets import Dataset
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel, TaskConfig
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "good"]),
    TaskConfig("topics", "multi-label-classification", labels=["art", "city"]),
]
WORDS = ("good", "bad", "play", "song", "paris", "rome")
TEXTS = [f"{a} {b}" for a in WORDS for b in WORDS]
DATA = {
    "films": Dataset.from_dict({"text": TEXTS, "mood": ["good" if "good" in text else "bad" for text in TEXTS]}),
    "cities": Dataset.from_dict(
        {"text": TEXTS, "topics": [["city"] if "paris" in text or "rome" in text else ["art"] for text in TEXTS]}
    ),
}
#: What changes a model that was scored -> the tasks whose scores may be others afterwards.
CHANGES = {
    "nothing": (lambda trainer: None, set()),
    "a training": (lambda trainer: trainer.train(), {"mood", "topics"}),
    "tuned thresholds": (lambda trainer: trainer.tune_thresholds(), {"topics"}),
    "calibration": (lambda trainer: trainer.calibrate(), set()),
}


class FirstIsBest(TrainerCallback):
    """Has the first evaluation be the best."""

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        metrics["eval_loss"] = -float(state.global_step)


def make(build, **kwargs):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    return build(model, **{"train": DATA, "evaluation": DATA, "learning_rate": 1e-2, "max_steps": 4, **kwargs})


@pytest.mark.parametrize("change", CHANGES)
def test_scores_beside_a_model_are_those_that_an_evaluation_finds(build, tmp_path, change):
    act, changed = CHANGES[change]
    trainer, out = make(build), tmp_path / "out"
    trainer.save_metrics("eval", trainer.evaluate())
    act(trainer)
    trainer.save_model()
    card = (out / "README.md").read_text()
    now = trainer.evaluate()
    shown = dict(re.findall(r"^\| `?(mood|topics)`? \| .* validation \| 36 \| \w+ \| ([\d.]+) \|", card, re.MULTILINE))
    assert set(shown) == {"mood", "topics"} - changed
    main = {"mood": "eval_mood_accuracy", "topics": "eval_topics_f1_micro"}
    assert shown == {task: f"{now[main[task]]:.3f}" for task in shown}
    files = {path.name: json.loads(path.read_text()) for path in out.glob("*_results.json")}
    assert ("eval_results.json" in files) == ("all_results.json" in files) == (not changed)
    for values in files.values():
        found = {name: value for name, value in values.items() if name.startswith(("eval_mood", "eval_topics"))}
        assert found == pytest.approx({name: now[name] for name in found})


def test_a_card_says_which_step_was_kept_and_how_shares_change(build, tmp_path):
    steps = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    few = {**DATA, "films": DATA["films"].select(range(12))}
    trainer = make(build, train=few, sampling="annealed", **steps, **best)
    trainer.add_callback(FirstIsBest)
    trainer.train()
    trainer.save_model()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "- Steps: 4; the weights are those after step 2\n" in card
    assert re.search(r"^\| films \| 12 \| 25.0% > [34]\d\.\d% \|", card, re.MULTILINE)


#: Labels of an evaluation -> what is said of them.
CONSTANT = {
    "a number": (TaskConfig("y", "regression"), [2.5] * 4, "all 4 labels are 2.5,"),
    "one of two numbers": (
        TaskConfig("y", "regression", labels=["a", "b"]),
        [[1.0, float(i)] for i in range(4)],
        "all 4 labels of 'a' are 1.0,",
    ),
    "a class": (TaskConfig("y", "sentiment", labels=["bad", "good"]), ["good"] * 4, "all 4 labels are 'good',"),
    "no entity": (
        TaskConfig("y", "token-classification", labels=["O", "B-x"]),
        [["O", "O"]] * 4,
        "all 8 labels are 'O',",
    ),
    "numbers": (TaskConfig("y", "regression"), [1.0, 2.0, 3.0, 4.0], None),
    "classes": (TaskConfig("y", "sentiment", labels=["bad", "good"]), ["good", "bad"] * 2, None),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_labels_that_are_all_the_same_are_said_once_in_evaluation_and_prediction(build, case, caplog):
    task, labels, words = CONSTANT[case]
    rows = Dataset.from_dict({"tokens": [["good", "film"]] * 4, "y": labels})
    trainer = build(MultiTaskModel.from_encoder(tiny_encoder(), [task]), train=None, evaluation={"films": rows})
    with caplog.at_level("WARNING", "hf_mtl"):
        trainer.evaluate()
        trainer.evaluate()
        assert [words in record.message for record in caplog.records] == ([True] if words else [])
        trainer.predict({"others": rows})
    said = [record.message for record in caplog.records]
    assert [message.partition(": ")[0] for message in said] == (
        ["Task 'y', dataset 'films'", "Task 'y', dataset 'others'"] if words else []
    )


def test_a_metric_that_is_no_number_is_said_once(build, data, caplog):
    trainer = build(trainer_kwargs={"metrics": {"mood": ["accuracy", lambda predictions, references: math.nan]}})
    with caplog.at_level("WARNING", "hf_mtl"):
        trainer.evaluate()
        trainer.evaluate()
    assert [m for m in caplog.messages if "finite" in m] == [
        "Task 'mood', dataset 'sst': '<lambda>' is not a finite number on these rows. Look at metric and labels."
    ]
