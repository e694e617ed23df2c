"""A tokenizer that is not the encoder's is found when something is built with it, not when a batch fails."""

import copy

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from hf_mtl import MultiTaskModel, predict
from hf_mtl.pipelines import MultiTaskPipeline
from tests.encoders import tiny_encoder
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
