import json

import pytest
from transformers import AutoConfig

from hf_mtl import MultiTaskConfig, TaskConfig
from tests.encoders import tiny_config

TASKS = [
    TaskConfig("zeta", "sentiment", labels=["bad", "good"], options={"loss": "ordinal"}, dropout=0.3),
    TaskConfig("alpha", "token-classification", labels=["O", "B-x", "I-x"], weight=2.0, class_weights=[1, 2.5, 2]),
    TaskConfig("mid", "regression", pooling="mean", target_mean=2.5, target_std=1.25),
    TaskConfig("two", "regression", labels=["x", "y"], target_mean=[2.5, None], target_std=[1.25, 0.1]),
    TaskConfig("any", "multi-label-classification", labels=["x", "y"], pos_weight="balanced", thresholds=[0.1, 1 / 3]),
    TaskConfig(
        "sure",
        "sequence-classification",
        labels=["x", "y"],
        calibration_temperature=1.75,
        conformal_thresholds={0.9: 0.1},
    ),
]


def test_json_round_trip_is_the_identity():
    config = MultiTaskConfig(encoder_config=tiny_config("bert"), tasks=TASKS)
    again = MultiTaskConfig.from_dict(json.loads(config.to_json_string()))
    assert again.tasks == TASKS
    assert again.to_dict() == config.to_dict()


def test_tasks_keep_their_order_on_disk(tmp_path):
    MultiTaskConfig(tasks=TASKS).save_pretrained(tmp_path)
    assert [task.name for task in AutoConfig.from_pretrained(tmp_path).tasks] == [task.name for task in TASKS]


def test_encoder_config_comes_back_as_its_own_class(tmp_path):
    MultiTaskConfig(encoder_config=tiny_config("electra"), tasks=TASKS).save_pretrained(tmp_path)
    encoder_config = MultiTaskConfig.from_pretrained(tmp_path).encoder_config
    assert type(encoder_config) is type(tiny_config("electra"))
    assert encoder_config.hidden_size == 32


def test_what_was_set_on_a_config_and_saved_is_loaded_again(tmp_path):
    config = MultiTaskConfig(encoder_config=tiny_config("bert"), tasks=TASKS)
    more = {"pad_token_id": 0, "eos_token_id": [3, 4], "note": "ours", "tasked": True, "Ä (0-5)": {}}
    for name, value in more.items():
        setattr(config, name, value)
    for _ in range(2):
        config.save_pretrained(tmp_path)
        config = AutoConfig.from_pretrained(tmp_path)
        assert {name: getattr(config, name) for name in more} == more
        assert config.tasks == TASKS


@pytest.mark.parametrize(("name", "value"), [("encoder_confg", {}), ("taks", []), ("to_dict", 1), ("task", "x")])
def test_a_file_with_a_field_written_wrongly_is_refused(name, value):
    with pytest.raises(ValueError, match=f"unknown field '{name}'"):
        MultiTaskConfig.from_dict({"model_type": "multi-task", name: value})


def test_tasks_are_copied_not_shared():
    given = [{"name": "a", "type": "regression"}]
    MultiTaskConfig(tasks=given)
    assert given == [{"name": "a", "type": "regression"}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"encoder_confg": {}}, ["encoder_confg", "encoder_config"]),
        ({"model_type": "bert", "hidden_size": 3}, ["bert", "from_encoder"]),
        ({"tasks": [{"name": "a", "type": "regression", "wieght": 1}]}, ["'a'", "wieght", "weight"]),
        ({"tasks": [{"name": "a"}]}, ["'a'", "type"]),
        ({"encoder_config": {"hidden_size": 3}}, ["model_type"]),
    ],
)
def test_unknown_fields_name_the_field_and_the_nearest_valid_one(fields, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        MultiTaskConfig(**fields)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "name", ["text", "text_pair", "tokens", "choices", "input_ids", "attention_mask", "half \ud83d a pair", "a\0b"]
)
def test_names_of_inputs_and_what_is_no_text_are_refused_as_names_of_tasks(name):
    with pytest.raises(ValueError, match="Task name"):
        MultiTaskConfig(tasks=[TaskConfig(name, "regression")])


def test_task_name_twice_is_refused():
    with pytest.raises(ValueError, match="occurs twice"):
        MultiTaskConfig(tasks=[TaskConfig("a", "regression"), TaskConfig("a", "regression")])


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"name": ""}, TypeError, "name"),
        ({"labels": "positive"}, TypeError, "labels must be a list"),
        ({"labels": [True, False]}, TypeError, "labels must be non-empty strings, found True"),
        ({"labels": ["a", "a"]}, ValueError, "occur twice: 'a'"),
        ({"weight": -1.0}, ValueError, "weight"),
        ({"weight": "big"}, TypeError, "weight must be a number"),
        ({"weight": float("nan")}, ValueError, "weight"),
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"label_smoothing": 1.5}, ValueError, "label_smoothing"),
        ({"pooling": "fist"}, ValueError, "Did you mean 'first'"),
        ({"problem_type": "multilabel"}, ValueError, "multi_label_classification"),
        ({"class_weights": [1.0]}, ValueError, "1 class_weights for 2 labels"),
        ({"class_weights": [1.0, -1.0]}, ValueError, "at least 0"),
        ({"class_weights": "balance"}, TypeError, "class_weights must be a list of numbers or 'balanced', found 'bal"),
        ({"pos_weight": 2.0}, TypeError, "pos_weight must be a list of numbers or 'balanced', found 2.0"),
        (
            {"pos_weight": [1.0, float("nan")]},
            ValueError,
            r"pos_weight must be at least 0 and at most 1e\+30, found nan",
        ),
        ({"thresholds": [0.5]}, ValueError, "1 thresholds for 2 labels"),
        ({"thresholds": [0.5, "high"]}, TypeError, "thresholds must be numbers, found 'high'"),
        ({"thresholds": 1.0}, ValueError, "thresholds must be above 0 and below 1, found 1.0"),
        ({"thresholds": [0.5, True]}, TypeError, "thresholds must be numbers, found True"),
        ({"target_mean": [1.0]}, ValueError, "1 target_mean for 2 labels"),
        ({"target_std": [1.0, 0.0]}, ValueError, r"target_std must be above 0 and at most 1e\+30, found 0.0"),
        (
            {"type": "multi-label-classification", "problem_type": "single_label_classification"},
            ValueError,
            "the type 'multi-label-classification' is problem_type 'multi_label_classification'",
        ),
        ({"metrics": "f1"}, TypeError, "metrics must be a list"),
        ({"target_std": 0.0}, ValueError, "target_std"),
    ],
)
def test_task_fields_are_checked_once_with_the_offending_value(fields, error, words):
    with pytest.raises(error, match=words):
        TaskConfig(**{"name": "a", "type": "sequence-classification", "labels": ["a", "b"], **fields})


def test_unknown_task_lists_the_known_ones():
    with pytest.raises(KeyError, match="Did you mean 'zeta'"):
        MultiTaskConfig(tasks=TASKS).task("zetta")
