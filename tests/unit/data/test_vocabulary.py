"""A tokenizer that is not the encoder's is found when something is built with it, not when a batch fails."""

import copy
import json

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, predict
from hf_mtl.cli._model import load_model
from hf_mtl.data import _vocabulary, longest_input, vocabulary_mark
from hf_mtl.pipelines import MultiTaskPipeline
from tests.encoders import tiny_encoder
from tests.tokenizer_families import TOKENIZERS, small_tokenizer
from tests.trainers import TASKS


def test_ids_past_the_embeddings_are_refused_with_the_remedy_which_works(tokenizer):
    model = MultiTaskModel.from_encoder(tiny_encoder(), TASKS)
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens([f"new{i}" for i in range(121 - len(larger))])
    assert len(larger) == 121
    for make in (lambda: MultiTaskPipeline(model, larger), lambda: predict(model, larger, ["good"])):
        with pytest.raises(ValueError, match=r"ids up to 120.*below 120.*resize_token_embeddings\(len\(tokenizer\)\)"):
            make()
    model.resize_token_embeddings(len(larger))
    assert [*MultiTaskPipeline(model, larger)("good new1")] == [task.name for task in TASKS]


def test_a_trainer_refuses_them_when_it_is_built(build, tokenizer):
    with pytest.raises(ValueError, match="resize_token_embeddings"):
        build(MultiTaskModel.from_encoder(tiny_encoder(vocab_size=len(tokenizer) - 1), TASKS))


def test_a_sparse_id_past_the_embeddings_is_found():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "good": 2, "far": 500}, unk_token="[UNK]"))
    sparse = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    with pytest.raises(ValueError, match="ids up to 500"):
        MultiTaskPipeline(MultiTaskModel.from_encoder(tiny_encoder(), TASKS), sparse)


def test_a_tokenizer_of_special_tokens_alone_is_refused():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    empty = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]")
    with pytest.raises(ValueError, match="has no vocabulary: it knows 2 special tokens"):
        MultiTaskPipeline(MultiTaskModel.from_encoder(tiny_encoder(), TASKS), empty)


def another(tokenizer):
    """Return a tokenizer that differs in two words' ids alone."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    words = state["model"]["vocab"]
    words["good"], words["bad"] = words["bad"], words["good"]
    other = copy.deepcopy(tokenizer)
    other._tokenizer = Tokenizer.from_str(json.dumps(state))
    return other


def test_a_tokenizer_of_another_model_whose_ids_fit_is_refused(build, tokenizer, tmp_path):
    trainer = build(max_steps=1)
    trainer.train()
    trainer.save_model(str(tmp_path / "model"))
    model = MultiTaskModel.from_pretrained(tmp_path / "model")
    own, other = AutoTokenizer.from_pretrained(tmp_path / "model"), another(tokenizer)
    arguments = MultiTaskTrainingArguments(str(tmp_path / "next"), use_cpu=True)
    ways = {
        "pipeline": lambda tokenizer: MultiTaskPipeline(model, tokenizer),
        "predict": lambda tokenizer: predict(model, tokenizer, ["good"]),
        "trainer": lambda tokenizer: MultiTaskTrainer(model, arguments, processing_class=tokenizer),
    }
    size = len(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"])
    for way in ways.values():
        way(own)
        with pytest.raises(
            ValueError, match=rf"{size} tokens\) has another vocabulary .* trained with \({size} tokens"
        ):
            way(other)
    other.save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="has another vocabulary"):
        load_model(str(tmp_path / "model"))
    model.config.vocabulary = None  # the way out that the message names, and models of before
    for way in ways.values():
        way(other)


def test_tokens_may_be_added_after_training(build, tokenizer, tmp_path):
    build(max_steps=1).save_model(str(tmp_path / "model"))
    model, larger = MultiTaskModel.from_pretrained(tmp_path / "model"), copy.deepcopy(tokenizer)
    larger.add_tokens(["newest"])
    model.resize_token_embeddings(len(larger))
    model.save_pretrained(tmp_path / "model")
    larger.save_pretrained(tmp_path / "model")
    model, larger = load_model(str(tmp_path / "model"))
    assert [*MultiTaskPipeline(model, larger)("good newest")] == [task.name for task in TASKS]


@pytest.mark.parametrize("family", TOKENIZERS)
def test_a_vocabulary_has_one_mark_wherever_it_is_read_from(family, tmp_path):
    tokenizer = small_tokenizer(family)
    mark = vocabulary_mark(tokenizer)
    tokenizer(["hello " * 99], truncation=True, padding="max_length", max_length=8)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert vocabulary_mark(tokenizer) == vocabulary_mark(loaded) == mark
    loaded.add_tokens(["newest"])
    assert vocabulary_mark(loaded) == mark
    assert len({vocabulary_mark(small_tokenizer(name)) for name in ("wordpiece", "byte-level", "unigram")}) == 3


def test_a_mark_is_made_once_for_a_tokenizer_and_again_for_another_backend(monkeypatch):
    made = []
    monkeypatch.setattr(_vocabulary, "_mark", lambda tokens: made.append(len(tokens)) or f"mark {len(made)}")
    tokenizer = small_tokenizer("wordpiece")
    assert vocabulary_mark(tokenizer) == vocabulary_mark(tokenizer) == "mark 1"
    tokenizer.add_tokens(["newest"])
    assert vocabulary_mark(tokenizer) == "mark 1"
    tokenizer._tokenizer = small_tokenizer("unigram").backend_tokenizer
    assert vocabulary_mark(tokenizer) == "mark 2"


@pytest.mark.parametrize("value", ["many", None, 0, -5, True, float("nan"), [512]])
def test_a_longest_text_that_is_no_number_is_refused(value):
    tokenizer = small_tokenizer("wordpiece")
    tokenizer.model_max_length = value
    with pytest.raises(ValueError, match="model_max_length must be a number of at least 1, found"):
        longest_input(tokenizer, tiny_encoder().config)
