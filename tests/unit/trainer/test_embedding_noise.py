import pytest
import torch

from hf_mtl import MultiTaskModel
from hf_mtl.trainer._embedding_noise import EmbeddingNoise
from tests.encoders import tiny_encoder
from tests.trainers import TASKS

LENGTHS = [3, 12, 24]
ALPHA = 5.0


class Arguments:
    neftune_noise_alpha = ALPHA


@pytest.fixture
def model():
    encoder = tiny_encoder(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return MultiTaskModel.from_encoder(encoder, TASKS)


def batch():
    ids = torch.full((len(LENGTHS), max(LENGTHS)), 7)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        mask[row, :length] = 1
    return {"input_ids": ids, "attention_mask": mask}


def noise_of_rows(model, rounds=40):
    """Return the largest noise on each row's embeddings, over some passes."""
    table = model.get_input_embeddings().weight[7].detach()
    seen = []
    handle = model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(output))
    mask = batch()["attention_mask"].bool()
    largest = torch.zeros(len(LENGTHS))
    for _ in range(rounds):
        model(**batch())
        noise = (seen.pop().detach() - table).abs().amax(-1)
        if noise.shape[0] == 1:
            noise = torch.zeros(mask.shape).masked_scatter(mask, noise[0, : int(mask.sum())])
        largest = torch.maximum(largest, noise.where(mask, 0.0).amax(-1))
    handle.remove()
    return largest


@pytest.mark.parametrize("unpad", [True, False])
def test_noise_is_scaled_by_each_rows_own_length_padded_or_not(model, unpad):
    model.unpad = unpad
    callback = EmbeddingNoise(lambda wrapped: wrapped)
    callback.on_train_begin(Arguments(), None, None, model=model)
    model.train()
    bounds = torch.tensor([ALPHA / (own * 32) ** 0.5 for own in LENGTHS])
    found = noise_of_rows(model)
    assert (found <= bounds * 1.0001).all()
    # Uniform on [-bound, bound]: the largest of thousands lies near it.
    assert (found > bounds * 0.99).all()


def test_there_is_no_noise_in_evaluation_nor_after_training(model):
    callback = EmbeddingNoise(lambda wrapped: wrapped)
    callback.on_train_begin(Arguments(), None, None, model=model)
    callback.on_train_begin(Arguments(), None, None, model=model)  # a training that failed before
    model.eval()
    assert noise_of_rows(model, 2).max() == 0
    model.train()
    callback.on_train_end(Arguments(), None, None, model=model)
    assert noise_of_rows(model, 2).max() == 0
    assert not model.get_input_embeddings()._forward_hooks
    assert not model.encoder._forward_pre_hooks
