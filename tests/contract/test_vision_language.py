"""An encoder that reads texts and pictures with the same parameters, with tasks of texts: ModernVBERT."""

import pytest
import torch
from transformers import ModernVBertConfig, ModernVBertForSequenceClassification, ModernVBertModel

from hf_mtl import MultiTaskModel, TaskConfig

TASKS = [
    TaskConfig("mood", "sequence-classification", labels=["bad", "good"]),
    TaskConfig("slots", "token-classification", labels=["O", "B-x", "I-x"]),
]
_SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
IDS, MASK = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.fixture(scope="module")
def model():
    text = {"model_type": "modernbert", "vocab_size": 64, "num_hidden_layers": 2, **_SIZES, **_SPECIAL}
    vision = {"model_type": "siglip_vision_model", "num_hidden_layers": 1, "image_size": 16, "patch_size": 4, **_SIZES}
    torch.manual_seed(0)
    config = ModernVBertConfig(text_config=text, vision_config=vision, image_token_id=63, pixel_shuffle_factor=2)
    return MultiTaskModel.from_encoder(ModernVBertModel(config), TASKS)


def test_logits_are_those_of_the_stock_model_bit_for_bit(model):
    stock = ModernVBertForSequenceClassification(model.encoder.config).eval()
    stock.model.load_state_dict(model.encoder.state_dict())
    stock.load_state_dict(model.task_heads["mood"].classifier.stock.state_dict(), strict=False)
    with torch.no_grad():
        expected = stock(input_ids=IDS, attention_mask=MASK).logits
        assert torch.equal(model(input_ids=IDS, attention_mask=MASK).logits["mood"], expected)


def test_a_saved_model_answers_bit_equal_and_every_head_learns(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(input_ids=IDS, attention_mask=MASK).logits
        found = loaded(input_ids=IDS, attention_mask=MASK).logits
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    labels = {"mood": torch.tensor([0, 1]), "slots": torch.tensor([[0, 1, 2, -100], [0, 0, -100, -100]])}
    loaded.train()(input_ids=IDS, attention_mask=MASK, labels=labels).loss.backward()
    assert all(p.grad is not None for p in loaded.heads.parameters())
    assert all(p.grad is not None for p in loaded.encoder.text_model.layers.parameters())


def test_a_task_of_pictures_needs_an_encoder_that_reads_pictures_alone(model):
    digit = TaskConfig("digit", "image-classification", labels=["one", "two"])
    with pytest.raises(ValueError, match="'digit': image-classification reads pictures"):
        MultiTaskModel.from_encoder(model.encoder, [digit])
