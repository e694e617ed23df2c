"""The pipeline says what Transformers' own pipelines say of the same weights."""

import dataclasses
import logging
from itertools import pairwise

import pytest
from transformers import pipeline

from hf_mtl.heads import STRATEGIES
from tests.unit.pipelines.scripts import TEXTS, make_model, make_tokenizer, stock_pipeline


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def pipe(model, tokenizer):
    return pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")


def scores(answers):
    return {answer["label"]: answer["score"] for answer in answers}


@pytest.mark.parametrize("task", ["topic", "mood"])
def test_labels_and_scores_are_those_of_text_classification(model, tokenizer, pipe, task):
    stock = stock_pipeline(model, task, tokenizer)
    for ours, theirs in zip(pipe(TEXTS), stock(TEXTS), strict=True):
        assert ours[task]["label"] == theirs["label"]
        assert ours[task]["score"] == pytest.approx(theirs["score"], abs=1e-5)


@pytest.mark.parametrize("task", ["topic", "tones"])
@pytest.mark.parametrize("top_k", [None, 2])
def test_the_best_labels_are_those_of_text_classification(model, tokenizer, pipe, task, top_k):
    stock = stock_pipeline(model, task, tokenizer)
    for ours, theirs in zip(pipe(TEXTS, top_k=top_k), stock(TEXTS, top_k=top_k), strict=True):
        assert [a["label"] for a in ours[task]] == [a["label"] for a in theirs]
        assert scores(ours[task]) == pytest.approx(scores(theirs), abs=1e-5)


def test_pairs_are_answered_as_by_text_classification(model, tokenizer, pipe):
    stock = stock_pipeline(model, "topic", tokenizer)
    pairs = [{"text": a, "text_pair": b} for a, b in pairwise(TEXTS)]
    for pair, ours in zip(pairs, pipe(pairs), strict=True):
        theirs = stock(pair)
        assert ours["topic"]["label"] == theirs["label"]
        assert ours["topic"]["score"] == pytest.approx(theirs["score"], abs=1e-5)
        assert pipe((pair["text"], pair["text_pair"]))["topic"]["score"] == pytest.approx(theirs["score"], abs=1e-5)


def same_entities(ours, theirs, text):
    """Compare all but the word: ours is the raw text, theirs the tokenizer's pieces joined again."""
    assert len(ours) == len(theirs)
    for one, two in zip(ours, theirs, strict=True):
        assert set(one) == set(two)
        assert {k: v for k, v in one.items() if k not in ("score", "word")} == {
            k: v for k, v in two.items() if k not in ("score", "word")
        }
        assert one["score"] == pytest.approx(float(two["score"]), abs=1e-5)
        assert one["word"] == text[one["start"] : one["end"]]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("task", ["names", "words"])
def test_entities_are_those_of_token_classification(model, tokenizer, pipe, task, strategy):
    stock = stock_pipeline(model, task, tokenizer, aggregation_strategy=strategy)
    kinds = set()
    for text, ours, theirs in zip(TEXTS, pipe(TEXTS, aggregation_strategy=strategy), stock(TEXTS), strict=True):
        same_entities(ours[task], theirs, text)
        kinds |= {a.get("entity", a.get("entity_group")) for a in ours[task]}
    assert len(kinds) > 1, "the comparison says little where all tokens are of one kind"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_of_words_are_those_of_token_classification(model, tokenizer, pipe, strategy):
    stock = stock_pipeline(model, "names", tokenizer, aggregation_strategy=strategy)
    for text in TEXTS:
        ours = pipe({"tokens": text.split()}, aggregation_strategy=strategy)["names"]
        (theirs,) = stock([text.split()], is_split_into_words=True)
        same_entities(ours, theirs, " ".join(text.split()))


def test_ignored_labels_are_those_of_token_classification(model, tokenizer, pipe):
    for ignored in ([], ["city"], ["O", "film"]):
        stock = stock_pipeline(model, "names", tokenizer, aggregation_strategy="simple", ignore_labels=ignored)
        for text in TEXTS:
            ours = pipe(text, aggregation_strategy="simple", ignore_labels=ignored)["names"]
            same_entities(ours, stock(text), text)


def test_whole_words_are_the_first_strategy_where_tags_are_iob_and_decoded_freely(tokenizer):
    model = make_model()
    model.replace_task(dataclasses.replace(model.config.task("names"), options={"constrained_decoding": False}))
    pipe = pipeline("multi-task", model=model, tokenizer=tokenizer, device="cpu")
    for text, words, first in zip(TEXTS, pipe(TEXTS), pipe(TEXTS, aggregation_strategy="first"), strict=True):
        if "\U0001f600" not in text:  # there Transformers takes the parts of an unknown word for words
            same_entities(words["names"], first["names"], text)


def test_a_task_is_a_model_that_stock_pipelines_take(model, tokenizer, caplog):
    logging.getLogger("transformers").addHandler(caplog.handler)
    try:
        for name in ("topic", "tones", "mood", "names", "words"):
            view = model.for_task(name)
            stock = stock_pipeline(model, name, tokenizer)
            kind = "token-classification" if name in ("names", "words") else "text-classification"
            ours = pipeline(kind, model=view, tokenizer=tokenizer, device="cpu")
            arguments = {} if kind == "token-classification" else {"top_k": None}
            for one, two in zip(ours(TEXTS, **arguments), stock(TEXTS, **arguments), strict=True):
                for a, b in zip(one, two, strict=True):
                    assert {k: v for k, v in a.items() if k != "score"} == {k: v for k, v in b.items() if k != "score"}
                    assert a["score"] == pytest.approx(float(b["score"]), abs=1e-5)
            assert view.config.num_labels == model.config.task(name).num_labels
            assert list(view.config.id2label.values()) == list(model.config.task(name).labels)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "not supported" not in caplog.text


def test_a_view_of_a_regression_speaks_in_the_labels_own_unit(model, tokenizer, pipe):
    view = pipeline("text-classification", model=model.for_task("stars"), tokenizer=tokenizer, device="cpu")
    assert view.model.config.problem_type == "regression"
    for text in TEXTS:
        assert view(text)[0]["score"] == pytest.approx(pipe(text)["stars"]["value"], abs=1e-5)


def test_a_view_follows_its_model_and_is_not_saved(model, tmp_path):
    view = model.for_task("topic")
    assert view.multi_task is model
    with pytest.raises(ValueError, match="Save the multi-task model"):
        view.save_pretrained(tmp_path)
    with pytest.raises(KeyError, match="Did you mean 'topic'"):
        model.for_task("topics")
