"""Trainings on pictures, alone and beside texts."""

import copy

import pytest
import torch
from transformers import AutoImageProcessor
from typer.testing import CliRunner

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.cli import app
from hf_mtl.training_methods import METHODS, AdversarialMethod
from tests.encoders import tiny_encoder
from tests.image_encoders import colours, image_processor, pictures, tiny_image_encoder
from tests.trainers import TASKS, make_data

COLOUR = TaskConfig("colour", "image-classification", labels=["red", "green", "blue"])
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def model_of(tasks, pictures=True, seed=3):
    encoders = {"text": tiny_encoder(**QUIET), **({"image": tiny_image_encoder(**QUIET)} if pictures else {})}
    torch.manual_seed(seed)
    return MultiTaskModel.from_encoder(encoders if pictures else encoders["text"], tasks)


def trainer_of(model, folder, data, tokenizer=None, **kwargs):
    given = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 1e-3, "report_to": "none"}
    more = {"use_cpu": True, "disable_tqdm": True, "save_strategy": "no", "lr_scheduler_type": "constant"}
    args = MultiTaskTrainingArguments(folder, **{**given, **more, **kwargs})
    return MultiTaskTrainer(model, args, data, data, tokenizer, image_processor=image_processor())


def weights(model, prefix=""):
    return {n: p.detach().clone() for n, p in model.named_parameters() if n.startswith(prefix)}


def test_a_model_of_pictures_alone_learns_saves_and_answers(tmp_path):
    model = MultiTaskModel.from_encoder(tiny_image_encoder(), [COLOUR])
    data = {"photos": colours(24)}
    trainer = trainer_of(model, tmp_path, data, num_train_epochs=10, learning_rate=5e-3)
    trainer.train()
    assert trainer.evaluate()["eval_colour_accuracy"] == 1.0
    answers = trainer.predict({"photos": data["photos"].remove_columns("colour")}).predictions["photos"]
    assert [answer["colour"]["label"] for answer in answers[:3]] == ["red", "green", "blue"]
    trainer.save_model()
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert all(torch.equal(value, weights(loaded)[name]) for name, value in weights(model).items())
    assert AutoImageProcessor.from_pretrained(tmp_path).size["height"] == 16


def test_texts_learn_the_same_bit_for_bit_beside_pictures():
    alone, both = model_of(TASKS, pictures=False), model_of([*TASKS, COLOUR])
    both.load_state_dict(alone.state_dict(), strict=False)
    texts = {
        "input_ids": torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]]),
        "attention_mask": torch.tensor([[1] * 4, [1] * 3 + [0]]),
    }
    seen = {"rows": {"mood": torch.tensor([0, 1])}, "labels": {"mood": torch.tensor([0, 1])}}
    weighed = {"loss_weights": {"mood": torch.tensor(1.0), "colour": torch.tensor(1.0)}}
    alone.train()(**texts, **seen, **weighed).loss.backward()
    for name, given in (("rows", torch.tensor([0, 1, 2])), ("labels", torch.tensor([0, 1, 2]))):
        seen[name] = {**seen[name], "colour": given}
    both.train()(**texts, pixel_values=pictures(3), **seen, **weighed).loss.backward()
    expected = {name: p.grad for name, p in alone.named_parameters() if p.grad is not None}
    found = {name: p.grad for name, p in both.named_parameters() if p.grad is not None}
    assert expected
    assert all(torch.equal(grad, found[name]) for name, grad in expected.items())
    assert {name for name in found if name.startswith("image_encoder.")}


def test_a_training_on_pictures_besides_leaves_texts_bit_for_bit_what_they_are_alone(tmp_path, tokenizer):
    """The datasets take turns, so batches of texts come in the same order; pictures come between them."""

    def run(with_pictures):
        torch.manual_seed(3)
        alone = model_of(TASKS, pictures=False)
        model = model_of([*TASKS, COLOUR]) if with_pictures else alone
        model.load_state_dict(alone.state_dict(), strict=False)
        data, seen = make_data(), []
        data = {**data, "photos": colours(40)} if with_pictures else data
        given = {"sampling": "round-robin", "max_steps": 12 if with_pictures else 9, "learning_rate": 5e-3}
        trainer = trainer_of(model, tmp_path / str(with_pictures), data, tokenizer, **given)
        step = trainer.training_step

        def seeing(model, inputs, *args, **kwargs):
            if "input_ids" in inputs:
                seen.append(inputs["input_ids"].tolist())
            return step(model, inputs, *args, **kwargs)

        trainer.training_step = seeing
        trainer.train()
        metrics = trainer.evaluate()
        of_texts = {name: value for name, value in metrics.items() if any(f"_{task.name}_" in name for task in TASKS)}
        return model, seen, of_texts, metrics

    alone, order, expected, _ = run(False)
    both, order_beside, found, metrics = run(True)
    assert order == order_beside
    assert len(order) == 9
    assert metrics["eval_colour_accuracy"] > 0.5
    assert len(expected) > 4
    assert found == expected
    beside = weights(both)
    assert all(torch.equal(value, beside[name]) for name, value in weights(alone).items())


def test_a_step_without_pictures_touches_nothing_of_theirs():
    model = model_of([*TASKS, COLOUR]).train()
    labels = {"mood": torch.tensor([1])}
    model(input_ids=torch.tensor([[2, 5, 3]]), labels=labels, rows={"mood": torch.tensor([0])}).loss.backward()
    assert all(p.grad is None for p in model.image_encoder.parameters())


def test_accumulated_steps_equal_whole_ones_in_float64(tmp_path, tokenizer):
    def trained(batch, steps):
        model = model_of([*TASKS, COLOUR]).double()
        data = {**make_data(), "photos": colours(16)}
        given = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps, "batching": "mixed"}
        trainer_of(model, tmp_path / str(batch), data, tokenizer, **given).train()
        return weights(model)

    whole, cut = trained(16, 1), trained(4, 4)
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-9


def test_resuming_equals_not_stopping(tmp_path, tokenizer):
    of_photos = {"p": 1.0, "datasets": ["photos"]}
    augmentation = {"resized-crop": of_photos, "horizontal-flip": {"datasets": ["photos"]}, "color-jitter": of_photos}

    def run(folder, augmentation=augmentation, **kwargs):
        model = model_of([*TASKS, COLOUR])
        data = {**make_data(), "photos": colours(16)}
        given = {"save_strategy": "steps", "save_steps": 4, "augmentation": augmentation, **kwargs}
        trainer = trainer_of(model, folder, data, tokenizer, **given)
        return model, trainer

    whole, trainer = run(tmp_path)
    trainer.train()
    resumed, trainer = run(tmp_path)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    _, trainer = run(tmp_path)
    trainer.image_processor = image_processor(edge=24)
    with pytest.raises(ValueError, match="image processor is"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    plain, trainer = run(tmp_path / "plain", augmentation=None)
    trainer.train()
    assert not torch.equal(*(model.heads["colour"].classifier.stock.classifier.weight for model in (plain, whole)))


@pytest.mark.parametrize(
    ("missing", "message"),
    [("image_processor", "Task 'colour' reads pictures"), ("processing_class", "Task 'intent' reads texts")],
)
def test_what_cannot_be_read_is_named_when_the_trainer_is_built(missing, message, tmp_path, tokenizer):
    given = {"processing_class": tokenizer, "image_processor": image_processor(), missing: None}
    model = model_of([*TASKS, COLOUR])
    with pytest.raises(ValueError, match=message):
        MultiTaskTrainer(model, MultiTaskTrainingArguments(tmp_path, use_cpu=True), **given)


MOVING = [name for name, kind in METHODS.items() if name == "r-drop" or issubclass(kind, AdversarialMethod)]


@pytest.mark.parametrize("method", MOVING)
def test_methods_that_move_embeddings_are_for_texts(tmp_path, tokenizer, method):
    mood = [task for task in TASKS if task.name == "mood"]
    data = {"sst": make_data()["sst"], "photos": colours(16)}
    options = {"noise": 0.5} if method == "r-drop" else {}
    with pytest.raises(ValueError, match=f"method '{method}', task 'colour': it moves the embeddings of tokens"):
        trainer_of(model_of([*mood, COLOUR]), tmp_path, data, tokenizer, methods={method: options})
    named = {method: {**options, "tasks": ["mood"]}}
    trainer = trainer_of(model_of([*mood, COLOUR]), tmp_path, data, tokenizer, methods=named, batching="mixed")
    assert trainer.train().global_step == 4


#: Arguments -> the rate of each layer of the text encoder, and of the image encoder.
RATES = {
    "a decay": ({"encoder_layer_decay": 0.5}, [0.5, 1.0], [0.25, 0.5, 1.0]),
    "a decay of one": ({"encoder_layer_decay": {"image": 0.5}}, [1.0, 1.0], [0.25, 0.5, 1.0]),
    "a rate": ({"trunk_learning_rate": 0.1}, [0.1, 0.1], [0.1, 0.1, 0.1]),
    "a rate each": ({"trunk_learning_rate": {"text": 0.2, "image": 0.1}}, [0.2, 0.2], [0.1, 0.1, 0.1]),
    "a rate of one, as JSON": ({"trunk_learning_rate": '{"image": 0}'}, [1.0, 1.0], [0.0, 0.0, 0.0]),
    "both": (
        {"trunk_learning_rate": {"image": 0.1}, "encoder_layer_decay": {"text": 0.5, "image": 1}},
        [0.5, 1.0],
        [0.1, 0.1, 0.1],
    ),
}


@pytest.fixture(scope="module")
def deeper(tokenizer):
    """A trainer of a model whose encoder of pictures has a layer more than that of texts."""
    model = model_of([*(task for task in TASKS if task.name == "mood"), COLOUR])
    model.image_encoder.encoder.layer.append(copy.deepcopy(model.image_encoder.encoder.layer[0]))
    model.image_encoder.config.num_hidden_layers = 3
    return model, {"sst": make_data()["sst"], "photos": colours(8)}, tokenizer


@pytest.mark.parametrize(("given", "of_texts", "of_pictures"), RATES.values(), ids=RATES)
def test_rates_fall_from_the_top_of_each_encoder(tmp_path, deeper, given, of_texts, of_pictures):
    model, data, tokenizer = deeper
    trainer = trainer_of(model, tmp_path, data, tokenizer, learning_rate=1.0, **given)
    rates = {id(p): group["lr"] for group in trainer.create_optimizer().param_groups for p in group["params"]}

    def rates_of(layers):
        return [rate for layer in layers for rate in {rates[id(p)] for p in layer.parameters()}]

    assert rates_of(model.encoder.encoder.layer) == of_texts
    assert rates_of(model.image_encoder.encoder.layer) == of_pictures
    assert rates_of(model.heads.values()) == [1.0, 10.0, 10.0]  # the pooler, from the checkpoint; new layers


#: What of a model with two layers for texts and three for pictures is frozen -> layers of each, what the config keeps.
FROZEN = {
    "a number": (2, (2, 2), 2),
    "each": ({"text": 1, "image": 3}, (1, 3), {"text": 1, "image": 3}),
    "one": ({"image": 3}, (0, 3), {"text": 0, "image": 3}),
    "the same": ({"image": 1, "text": 1}, (1, 1), 1),
    "none": ({"image": 0}, (0, 0), None),
}


@pytest.mark.parametrize(("layers", "expected", "kept"), FROZEN.values(), ids=FROZEN)
def test_layers_are_frozen_by_encoder(tmp_path, deeper, layers, expected, kept):
    def held(model):
        stacks = (model.encoder.encoder.layer, model.image_encoder.encoder.layer)
        return tuple(sum(not any(p.requires_grad for p in layer.parameters()) for layer in stack) for stack in stacks)

    model = copy.deepcopy(deeper[0])
    model.freeze(layers=layers)
    assert held(model) == expected
    assert next(model.image_encoder.embeddings.parameters()).requires_grad is (expected[1] == 0)
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    assert held(loaded) == expected
    assert (loaded.config.frozen or {}).get("layers") == kept
    model.freeze(layers={"text": 2})  # what was frozen stays so
    assert held(model) == (2, expected[1])
    model.unfreeze()
    assert held(model) == (0, 0)


def test_the_command_line_freezes_layers_by_encoder(tmp_path, deeper):
    for part in (deeper[0], deeper[2], image_processor()):
        part.save_pretrained(tmp_path)
    call = ["heads", str(tmp_path), "freeze", "-o", str(tmp_path)]
    result = CliRunner().invoke(app, [*call, "--layers", "image=3", "--layers", "text=1"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines() if "(encoder)" in line]
    assert [(words[1], words[-2]) for words in lines] == [("bert", "1"), ("dinov2", "3")]
    assert MultiTaskModel.from_pretrained(tmp_path).frozen["layers"] == {"text": 1, "image": 3}
    wrong = CliRunner().invoke(app, [*call, "--layers", "image"])
    assert wrong.exit_code
    assert "--layers takes a number, or encoder=number" in wrong.stderr


def test_what_training_freezes_by_encoder_stays_and_the_rest_learns(tmp_path, deeper):
    model, data, tokenizer = deeper
    model, before = copy.deepcopy(model), weights(model)
    frozen = {"frozen_layers": '{"image": 2}', "trunk_learning_rate": {"text": 0}, "weight_decay": 0.1}
    trainer_of(model, tmp_path, data, tokenizer, **frozen, max_steps=3).train()
    moved = {name for name, value in weights(model).items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("encoder.") or ".layer.0." in name or ".layer.1." in name for name in moved)
    assert any(name.startswith("image_encoder.encoder.layer.2.") for name in moved)
    assert model.config.frozen is None


@pytest.mark.parametrize("name", ["frozen_layers", "trunk_learning_rate", "encoder_layer_decay"])
def test_what_is_given_by_encoder_fits_the_encoders(tmp_path, deeper, name):
    model, data, tokenizer = deeper
    with pytest.raises(ValueError, match=f"{name} names 'picture', which no encoder.*Encoders: 'text', 'image'"):
        trainer_of(model, tmp_path, data, tokenizer, **{name: {"picture": 1}})
    alone = MultiTaskModel.from_encoder(tiny_image_encoder(), [COLOUR])
    with pytest.raises(ValueError, match=f"{name} names 'text', which no encoder of the model.*Encoders: 'image'"):
        trainer_of(alone, tmp_path, {"photos": data["photos"]}, **{name: {"text": 1}})


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (3, "frozen_layers must lie between 0 and 2, the layers of the encoder of texts; a mapping"),
        ({"image": 4}, "frozen_layers: 'image' must lie between 0 and 3, the layers of that encoder; found 4"),
        ({"image": 1.5}, "frozen_layers: 'image' must be a whole number of at least 0, found 1.5"),
        ("many", "frozen_layers must be a number, or a mapping from encoders to numbers, found 'many'"),
    ],
)
def test_layers_that_encoders_lack_are_refused(tmp_path, deeper, layers, words):
    model, data, tokenizer = deeper
    with pytest.raises(ValueError, match=words):
        trainer_of(model, tmp_path, data, tokenizer, frozen_layers=layers)


@pytest.mark.parametrize("frozen", [{"encoder": True}, {"trunk": True}, {"layers": 2}])
def test_what_is_frozen_runs_without_dropout_in_both_encoders(frozen):
    encoders = {"text": tiny_encoder(), "image": tiny_image_encoder()}
    model = MultiTaskModel.from_encoder(encoders, [*TASKS, COLOUR])
    model.freeze(**frozen)
    model.train()
    for encoder in model.encoders.values():
        held = [m for m in encoder.modules() if (own := list(m.parameters())) and not any(p.requires_grad for p in own)]
        assert held
        assert not any(module.training for module in held)
