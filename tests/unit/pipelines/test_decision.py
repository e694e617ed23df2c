"""``pipeline("decision")`` answers with a model's tasks, by Transformers' own code."""

import json

import pytest
import torch
from transformers import AutoModelForDecision, pipeline
from transformers.decision import DecisionConfig

from hf_mtl import MultiTaskModel, MultiTaskPipeline, TaskConfig
from tests.encoders import tiny_encoder
from tests.unit.pipelines.scripts import TASKS, TEXTS, VOCABULARY, make_tokenizer

MANY = TaskConfig("many", "sequence-classification", labels=[f"label {i}" for i in range(40)])
WARM = TaskConfig("warm", "sentiment", labels=["a", "b", "c"], calibration_temperature=2.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(4)
    model = MultiTaskModel.from_encoder(tiny_encoder(vocab_size=len(VOCABULARY)), [*TASKS, MANY, WARM])
    for head in model.task_heads.values():  # clear decisions
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
    folder = tmp_path_factory.mktemp("decision")
    MultiTaskPipeline(model, make_tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def decide(folder):
    return pipeline("decision", model=str(folder), device="cpu")


QUESTIONS = {
    "topic": {"type": "choice", "instructions": "Which?", "criteria": {"money": None, "sports": "s", "arts": None}},
    "mood": {"type": "score", "criteria": ["dreadful", "splendid"]},
    "warm": {"type": "score"},
    "many": {"type": "choice"},
    "tones/y": {"type": "noul"},
    "topic/arts": {"type": "noul", "criteria": {"true": "of art", "false": None}},
}


@pytest.mark.parametrize("state", [*TEXTS, {"text": TEXTS[0], "text_pair": TEXTS[1]}, " ".join(TEXTS * 4)])
def test_each_option_gets_the_probability_of_its_label(folder, decide, state):
    found = decide({"state": state, "questions": QUESTIONS})
    expected = pipeline("multi-task", model=folder_pipe(folder), tokenizer=decide.tokenizer)(state, top_k=None)
    named = {name: {one["label"]: one["score"] for one in expected[name]} for name in ("topic", "tones", "many")}
    assert found["topic"]["probabilities"] == pytest.approx(named["topic"], abs=1e-5)
    assert found["many"]["probabilities"] == pytest.approx(named["many"], abs=1e-5)
    assert found["many"]["choice"] == expected["many"][0]["label"]
    for name in ("mood", "warm"):
        assert list(found[name]["probabilities"].values()) == pytest.approx(
            [expected[name]["scores"][label] for label in ("abc" if name == "warm" else ["bad", "good"])], abs=1e-5
        )
    assert found["tones/y"]["noul"] == pytest.approx(named["tones"]["y"], abs=1e-5)
    assert found["topic/arts"]["noul"] == pytest.approx(named["topic"]["arts"], abs=1e-5)
    assert decide(json.dumps({"state": state, "questions": QUESTIONS})) == found


def folder_pipe(folder, known={}):  # noqa: B006  # loaded once
    return known.setdefault(folder, MultiTaskModel.from_pretrained(folder))


def test_a_decision_model_is_saved_as_the_model_that_it_is(folder, decide, tmp_path):
    model = AutoModelForDecision.from_pretrained(folder)
    model.decision_config.temperature["choice"] = 3.0
    model.save_pretrained(tmp_path)
    decide.tokenizer.save_pretrained(tmp_path)
    again = AutoModelForDecision.from_pretrained(tmp_path)
    assert again.decision_config.temperature == {"choice": 3.0}
    assert isinstance(MultiTaskModel.from_pretrained(tmp_path), MultiTaskModel)
    request = {"state": TEXTS[0], "questions": {"topic": {"type": "choice"}, "mood": {"type": "score"}}}
    softer = pipeline("decision", model=str(tmp_path), device="cpu")(request)
    assert softer["topic"]["confidence"] < decide(request)["topic"]["confidence"]
    assert softer["mood"] == decide(request)["mood"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"state": "a", "questions": {"topics": {"type": "choice", "criteria": {"a": None}}}}, "Did you mean 'topic'"),
        ({"state": "a", "questions": {"topic": {"type": "choice", "criteria": {"a": None}}}}, "trained with"),
        ({"state": "a", "questions": {"stars": {"type": "score", "criteria": ["a"]}}}, "no such questions"),
        ({"state": {"message": "a"}, "questions": {"topic": {"type": "choice"}}}, "state must be a text"),
        ({"state": 3, "questions": {"topic": {"type": "choice"}}}, "state must be a text"),
        ({"state": "a", "questions": {"topic": {"type": "choice"}}, "assets": {"a": {}}}, "assets are not supported"),
        ({"state": "a", "questions": {"topic": {"type": "guess"}}}, "must be one of"),
        ({"state": "a", "questions": {}}, "at least one question"),
        ({"questions": {}}, "A request is"),
    ],
)
def test_what_the_model_was_not_trained_to_answer_is_refused(decide, request_, reason):
    with pytest.raises(ValueError, match=reason):
        decide(request_)


def test_the_tokenizer_gets_no_tokens_that_the_encoder_lacks(decide):
    assert len(decide.tokenizer) == len(make_tokenizer())
    assert type(decide.decision_config) is not DecisionConfig
