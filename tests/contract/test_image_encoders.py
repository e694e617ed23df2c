"""What holds for each family of image encoders: stock logits, saving, a text encoder beside."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageClassification, CLIPConfig, SiglipConfig

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.surgery import add_head, change_labels
from tests.encoders import tiny_encoder
from tests.image_encoders import IMAGE_FAMILIES, colours, image_processor, pictures, tiny_image_encoder

DIGIT = TaskConfig("digit", "image-classification", labels=["one", "two", "three"])
MOOD = TaskConfig("mood", "sequence-classification", labels=["bad", "good"])
HALVES = {"clip_vision_model": CLIPConfig, "siglip_vision_model": SiglipConfig}
WITHOUT_STOCK = {"dinov3_vit"}


def stock_model(model):
    """Return the family's own model with the weights of a multi-task model's encoder and head."""
    config = model.encoder.config
    if config.model_type in HALVES:
        config = HALVES[config.model_type](vision_config=config.to_dict())
    config.num_labels = 3
    kind = AutoModelForImageClassification._model_mapping[type(config)]
    stock = (kind[0] if isinstance(kind, tuple) else kind)(config).eval()
    encoder = next(child for child in stock.children() if isinstance(child, type(model.encoder)))
    encoder.load_state_dict(model.encoder.state_dict())
    stock.classifier.load_state_dict(model.task_heads["digit"].classifier.stock.classifier.state_dict())
    return stock


@pytest.mark.parametrize("family", sorted(set(IMAGE_FAMILIES) - WITHOUT_STOCK))
def test_logits_are_those_of_the_stock_model_bit_for_bit(family):
    model = MultiTaskModel.from_encoder(tiny_image_encoder(family), [DIGIT])
    pixels = pictures(3)
    with torch.no_grad():
        expected = stock_model(model)(pixel_values=pixels).logits
        assert torch.equal(model(pixel_values=pixels).logits["digit"], expected)
        assert torch.equal(model.flat_logits(pixel_values=pixels)["digit"], expected)


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_every_trained_parameter_of_a_head_gets_a_gradient(family):
    model = MultiTaskModel.from_encoder(tiny_image_encoder(family), [DIGIT]).train()
    loss = model(pixel_values=pictures(3), labels={"digit": torch.tensor([0, 1, 2])}).loss
    loss.backward()
    assert all(p.grad is not None for p in model.heads.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_a_saved_model_of_both_answers_bit_equal(family, tmp_path):
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder(family)}
    model = MultiTaskModel.from_encoder(encoders, [MOOD, DIGIT])
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert set(loaded.encoders) == {"text", "image"}
    batch = {"input_ids": torch.tensor([[2, 5, 6, 3]]), "pixel_values": pictures(2)}
    with torch.no_grad():
        expected, found = model(**batch).logits, loaded(**batch).logits
    assert {name: value.shape for name, value in found.items()} == {"mood": (1, 2), "digit": (2, 3)}
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_resuming_equals_not_stopping_bit_for_bit(family, tmp_path):
    colour = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
    data = {"photos": colours(6)}

    def run(resume=None, **kwargs):
        torch.manual_seed(0)
        model = MultiTaskModel.from_encoder(tiny_image_encoder(family), [colour])
        given = {"per_device_train_batch_size": 3, "max_steps": 2, "learning_rate": 1e-2, "use_cpu": True, **kwargs}
        args = MultiTaskTrainingArguments(str(tmp_path), disable_tqdm=True, precision="float32", **given)
        MultiTaskTrainer(model, args, data, image_processor=image_processor()).train(resume_from_checkpoint=resume)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = run(save_strategy="steps", save_steps=1)
    resumed = run(resume=str(tmp_path / "checkpoint-1"), save_strategy="no")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("family", sorted(set(IMAGE_FAMILIES) - WITHOUT_STOCK))
def test_a_task_leaves_as_a_stock_model_and_comes_back(family, tmp_path):
    model = MultiTaskModel.from_encoder({"text": tiny_encoder(), "image": tiny_image_encoder(family)}, [MOOD, DIGIT])
    pixels = pictures(2)
    stock = model.to_transformers("digit")
    stock.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(pixel_values=pixels).logits["digit"]
        assert torch.equal(stock(pixel_values=pixels).logits, expected)
        back = MultiTaskModel.from_transformers({"digit": str(tmp_path)})
        assert torch.equal(back(pixel_values=pixels).logits["digit"], expected)
    assert back.tasks[0].type == "image-classification"
    assert tuple(back.tasks[0].labels) == tuple(DIGIT.labels)


KINDS = {
    "several labels": replace(DIGIT, problem_type="multi_label_classification"),
    "calibrated": replace(DIGIT, calibration_temperature=2.0),
    "a number": TaskConfig("digit", "image-regression", target_mean=5.0, target_std=2.0),
    "two numbers": TaskConfig("digit", "image-regression", labels=["x", "y"], target_mean=[5.0, 1.0], target_std=2.0),
}


@pytest.mark.parametrize("family", ["dinov2", "swin"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_leaves_as_a_stock_model_and_comes_back(kind, family, tmp_path):
    task = KINDS[kind]
    model = MultiTaskModel.from_encoder(tiny_image_encoder(family), [task])
    pixels = pictures(2)
    stock = model.to_transformers("digit")
    stock.save_pretrained(tmp_path)
    with torch.no_grad():
        logits = model(pixel_values=pixels).logits["digit"]
        head = model.task_heads["digit"]
        expected = head.in_unit(logits) if head.is_regression else logits / (task.calibration_temperature or 1)
        torch.testing.assert_close(stock(pixel_values=pixels).logits, expected, rtol=1e-5, atol=1e-5)
        back = MultiTaskModel.from_transformers({"digit": str(tmp_path)})
        assert torch.equal(back(pixel_values=pixels).logits["digit"], stock(pixel_values=pixels).logits)
    found = back.tasks[0]
    assert (found.type, found.is_multi_label) == (task.type, task.is_multi_label)
    assert found.labels == task.labels


def test_a_family_without_a_stock_class_says_so():
    with pytest.raises(ValueError, match="has no stock form"):
        MultiTaskModel.from_encoder(tiny_image_encoder("dinov3_vit"), [DIGIT]).to_transformers("digit")


def test_surgery_finds_the_encoder_of_a_task():
    model = MultiTaskModel.from_encoder({"text": tiny_encoder(), "image": tiny_image_encoder()}, [MOOD, DIGIT])
    before = model(pixel_values=pictures(2)).logits["digit"]
    add_head(model, TaskConfig("kind", "image-classification", labels=["a", "b"]))
    change_labels(model, "kind", ["a", "b", "c"])
    after = model(pixel_values=pictures(2)).logits
    assert torch.equal(after["digit"], before)
    assert after["kind"].shape == (2, 3)
    assert model.encoder_of("kind") is model.image_encoder


@pytest.mark.parametrize(
    ("encoders", "task", "message"),
    [
        ({"text": tiny_encoder()}, DIGIT, "reads pictures, and the model has no encoder of pictures"),
        ({"image": tiny_image_encoder()}, MOOD, "reads texts, and the model has no encoder of texts"),
        ({"text": tiny_image_encoder()}, DIGIT, "which reads pictures"),
        ({"sound": tiny_encoder()}, MOOD, "named 'text' and 'image', found 'sound'"),
        ({"image": tiny_image_encoder()}, replace(DIGIT, pooling="mean"), "pooling='mean' is for texts"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(encoders, task, message):
    with pytest.raises(ValueError, match=message):
        MultiTaskModel.from_encoder(encoders, [task])


def test_a_branch_of_texts_is_none_of_pictures():
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder()}
    with pytest.raises(ValueError, match="branch 'x' is one of the encoder of texts"):
        MultiTaskModel.from_encoder(encoders, [MOOD, replace(DIGIT, branch="x")], branches={"x": 1})


def test_what_a_batch_lacks_is_named():
    model = MultiTaskModel.from_encoder({"text": tiny_encoder(), "image": tiny_image_encoder()}, [MOOD, DIGIT])
    with pytest.raises(ValueError, match="neither texts nor pictures"):
        model()
    with pytest.raises(ValueError, match="'digit' reads pictures, and the batch has none"):
        model(input_ids=torch.tensor([[2, 3]]), tasks=["digit"])
