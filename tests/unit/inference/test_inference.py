import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig, predict
from tests.encoders import tiny_encoder

TASKS = [
    TaskConfig("mood", "sentiment", labels=["bad", "fair", "good"], options={"loss": "ordinal"}),
    TaskConfig("slots", "token-classification", labels=["O", "B-city", "I-city"]),
    TaskConfig("words", "token-classification", labels=["NOUN", "VERB"]),
    TaskConfig("topics", "sequence-classification", labels=["x", "y"], problem_type="multi_label_classification"),
]


@pytest.fixture(scope="module")
def model():
    return MultiTaskModel.from_encoder(tiny_encoder(), TASKS)


@pytest.fixture(scope="module")
def entity_model():
    """A model whose tagger calls every word B-city."""
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    with torch.no_grad():
        classifier = model.task_heads["slots"].classifier.stock.classifier
        classifier.weight.zero_()
        classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    return model


def test_rows_of_every_kind_are_answered_in_order(model, tokenizer):
    rows = ["a film", {"text": "good", "text_pair": "bad"}, {"tokens": ["in", "rome"]}, {"text": ""}]
    answers = list(predict(model, tokenizer, rows, batch_size=2))
    assert [set(answer) for answer in answers] == [{task.name for task in TASKS}] * 4
    assert [len(answer["words"]) for answer in answers] == [2, 1, 2, 0]


def test_batches_do_not_change_answers(model, tokenizer):
    rows = ["a film", "in rome", "a very very good book by anna !"]
    alone, together = (list(predict(model, tokenizer, rows, batch_size=size)) for size in (1, 3))
    for one, two in zip(alone, together, strict=True):
        assert one["mood"]["scores"] == pytest.approx(two["mood"]["scores"], rel=1e-4)
        assert [w["entity"] for w in one["words"]] == [w["entity"] for w in two["words"]]


def test_sentiment_answers_lie_on_the_scale(model, tokenizer):
    (answer,) = predict(model, tokenizer, ["good"], tasks=["mood"])
    mood = answer["mood"]
    assert sum(mood["scores"].values()) == pytest.approx(1, rel=1e-5)
    assert mood["polarity"] == pytest.approx(mood["scores"]["good"] - mood["scores"]["bad"], abs=1e-6)
    assert mood["score"] == mood["scores"][mood["label"]]


@pytest.mark.parametrize(
    "text", ["Paris  and ROME!", "  caf\u00e9 Rom\u00e9o ", "\u5317\u4eac \U0001f600 rome", "anna-maria's book"]
)
def test_entities_carry_offsets_into_the_raw_text(entity_model, tokenizer, text):
    (answer,) = predict(entity_model, tokenizer, [text], tasks=["slots"])
    entities = answer["slots"]
    assert all(text[e["start"] : e["end"]] == e["word"] for e in entities)
    assert "".join(e["word"] for e in entities) == "".join(text.split())


def test_words_without_a_token_are_outside(entity_model, tokenizer):
    (answer,) = predict(entity_model, tokenizer, [{"tokens": ["rome", "\ufffd", "paris"]}], tasks=["slots"])
    assert [(e["word"], e["start"], e["end"]) for e in answer["slots"]] == [("rome", 0, 4), ("paris", 7, 12)]


def test_rows_are_read_as_they_are_needed(model, tokenizer):
    read = []

    def rows():
        for i in range(10):
            read.append(i)
            yield "a film"

    answers = predict(model, tokenizer, rows(), look_ahead=2)
    next(answers)
    assert len(read) == 2


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"txt": "a"}, "row 0: expected 'text'"),
        ({"text": ["a"]}, "row 0: expected 'text'"),
        ({"tokens": "a b"}, "row 0: expected 'text'"),
        ({"tokens": ["a"], "text_pair": "b"}, "row 0: expected 'text'"),
        ({"text": None}, "row 0: expected 'text'"),
    ],
)
def test_rows_without_an_input_are_named(model, tokenizer, row, words):
    with pytest.raises(ValueError, match=words):
        list(predict(model, tokenizer, [row]))


def test_unknown_task_is_named(model, tokenizer):
    with pytest.raises(ValueError, match="Did you mean 'mood'"):
        list(predict(model, tokenizer, ["a"], tasks=["moood"]))
