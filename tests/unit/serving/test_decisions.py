"""POST /v1/systemone: typed questions about a text, in the form that Transformers gives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.decision import DecisionConfig, parse_questions

from hf_mtl import MultiTaskPipeline
from hf_mtl_light.decisions import DecisionQuestion
from tests.serving import ask, running
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer

PIPE = MultiTaskPipeline(make_model(), make_tokenizer())
QUESTIONS = {
    "topic": {"type": "choice", "instructions": "Which?", "criteria": {"money": None, "arts": "a", "sports": None}},
    "mood": {"type": "score", "criteria": ["dreadful", "splendid"]},
    "tones/y": {"type": "noul", "criteria": {"true": "It does", "false": None}},
    "topic/arts": {"type": "noul"},
}


@pytest.fixture(scope="module")
def server():
    with running(PIPE) as server:
        yield server


def decide(server, state, questions, **fields):
    return ask(server, {"state": state, "questions": questions, **fields}, "/v1/systemone")


@pytest.mark.parametrize("state", [TEXTS[0], {"text": TEXTS[0], "text_pair": TEXTS[1]}, {"tokens": ["good", "film"]}])
def test_each_option_gets_the_probability_of_its_label(server, state):
    status, answer, _ = decide(server, state, QUESTIONS, model="assistant")
    assert status == 200
    assert list(answer["answers"]) == list(QUESTIONS)
    expected = PIPE(state, tasks=["topic", "mood", "tones"], top_k=None)
    topic, tones = ({one["label"]: one["score"] for one in expected[name]} for name in ("topic", "tones"))
    mood = expected["mood"]["scores"]
    found = answer["answers"]
    assert found["topic"]["probabilities"] == pytest.approx(topic, abs=1e-5)
    assert found["topic"]["choice"] == expected["topic"][0]["label"]
    assert found["mood"]["score"] == pytest.approx(mood["good"], abs=1e-5)
    assert found["mood"]["legend"] == {"0": "dreadful", "1": "splendid"}
    assert found["tones/y"] == {"type": "noul", "noul": pytest.approx(tones["y"], abs=1e-5)}
    assert found["topic/arts"]["noul"] == pytest.approx(topic["arts"], abs=1e-5)
    assert answer["model"] == "assistant"
    assert answer["usage"]["output_tokens"] == 0
    assert answer["usage"]["input_tokens"] == len(PIPE.tokenizer(*texts_of(state))["input_ids"])


def texts_of(state):
    return [state] if isinstance(state, str) else [t if isinstance(t, str) else " ".join(t) for t in state.values()]


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=6), st.sampled_from(["choice", "score"]))
def test_answers_are_those_that_transformers_makes_of_the_same_probabilities(weights, kind):
    labels = [f"label {i}" for i in range(len(weights))]
    scores = [weight / sum(weights) for weight in weights]
    criteria = dict.fromkeys(labels) if kind == "choice" else labels
    [question] = parse_questions({"a": {"type": kind, "criteria": criteria}}, DecisionConfig())
    own = DecisionQuestion("a", kind, "a", labels)
    found = own.answer([{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)])
    assert found == question.answer(scores)


REFUSED = {
    "a task that does not exist": ({"topics": {"type": "choice"}}, "Did you mean 'topic'?"),
    "tags": ({"names": {"type": "choice"}}, "no such questions"),
    "a number": ({"stars": {"type": "score"}}, "no such questions"),
    "a scale of what has no order": ({"topic": {"type": "score"}}, "answers 'choice', 'noul' questions"),
    "one of labels that do not exclude each other": ({"tones": {"type": "choice"}}, "answers 'noul' questions"),
    "a noul of a task": ({"topic": {"type": "noul"}}, "'<task>/<label>'"),
    "a label that does not exist": ({"topic/art": {"type": "noul"}}, "Did you mean 'arts'?"),
    "other options": ({"topic": {"type": "choice", "criteria": {"arts": None, "war": None}}}, "trained with"),
    "some of the options": ({"topic": {"type": "choice", "criteria": {"arts": None}}}, "trained with"),
    "too many levels": ({"mood": {"type": "score", "criteria": ["a", "b", "c"]}}, "2 levels"),
    "a type that does not exist": ({"topic": {"type": "guess"}}, "'choice', 'score' or 'noul'"),
    "no questions": ({}, "questions"),
    "a field that does not exist": ({"topic": {"type": "choice", "labels": []}}, "'labels' is no field of questions."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_model_was_not_trained_to_answer_is_refused(server, name):
    questions, reason = REFUSED[name]
    status, answer, _ = decide(server, "good", questions)
    assert status == 422
    assert reason in answer["detail"]


PICTURE = {"img": {"type": "image", "data_base64": "aaaa"}}
STATES = [{"assets": {"img": {"type": "image"}}}, {"assets": PICTURE}, {"state": {"message": "a"}}, {"state": 1}]


@pytest.mark.parametrize("fields", STATES)
def test_states_that_are_no_text_are_refused(server, fields):
    status, answer, _ = ask(
        server, {"state": "a", "questions": {"mood": {"type": "choice"}}, **fields}, "/v1/systemone"
    )
    assert status == 422
    assert next(iter(fields)) in answer["detail"]
