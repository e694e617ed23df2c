"""What a saved model holds is what is loaded."""

from __future__ import annotations

import json
import math
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from hf_mtl import MultiTaskConfig, MultiTaskModel, TaskConfig
from tests.encoders import FAMILIES, tiny_encoder

MOODS = ["bad", "mixed", "good"]
TASKS = [
    TaskConfig("topic", "sequence-classification", labels=MOODS, pooling="attention", layers="mix"),
    TaskConfig("stars", "sentiment", labels=MOODS, options={"loss": "ordinal"}),
    TaskConfig("tags", "crf-tagging", labels=["O", "B-x", "I-x"]),
    TaskConfig("size", "regression"),
]


@torch.no_grad()
def trained(family="bert", tasks=TASKS):
    """Return a model no parameter of which is where it began."""
    model = MultiTaskModel.from_encoder(tiny_encoder(family), tasks)
    for parameter in model.parameters():
        parameter.add_(torch.rand_like(parameter), alpha=0.1)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_leaves_every_parameter_as_it_was_saved(family, tmp_path):
    model = trained(family)
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path)
    states = model.state_dict(), loaded.state_dict()
    assert [*states[0]] == [*states[1]]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    trained().save_pretrained(folder)
    return folder, load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())


def with_weights(saved, folder, change, config=None):
    """Write the saved model with its weights changed."""
    weights = dict(saved[1])
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config or saved[2]))
    return folder


def test_a_model_that_lacks_any_weight_is_refused_by_its_name(saved, tmp_path):
    for name in [*saved[1]][::5]:
        folder = with_weights(saved, tmp_path, lambda weights, name=name: weights.pop(name))
        with pytest.raises(ValueError, match=f"lack weights .*{re.escape(name)}"):
            AutoModel.from_pretrained(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused_by_their_names(saved, tmp_path, value):
    for name in ("heads.stars.thresholds", "encoder.encoder.layer.1.output.dense.weight", "heads.topic.mix.gamma"):

        def spoil(weights, name=name):
            weights[name] = weights[name].clone()
            weights[name].view(-1)[-1] = value

        with pytest.raises(ValueError, match=f"not a number: '{re.escape(name)}'"):
            MultiTaskModel.from_pretrained(with_weights(saved, tmp_path, spoil))


def test_a_config_of_fewer_layers_than_the_weights_hold_is_refused(saved, tmp_path):
    config = {**saved[2], "encoder_config": {**saved[2]["encoder_config"], "num_hidden_layers": 1}}
    config["tasks"] = config["tasks"][1:]
    with pytest.raises(ValueError, match=r"does not describe: 'encoder\.encoder\.layer\.1"):
        MultiTaskModel.from_pretrained(with_weights(saved, tmp_path, lambda weights: None, config))


def test_a_head_may_be_left_out_but_not_made_up(saved, tmp_path):
    config = MultiTaskConfig.from_pretrained(saved[0])
    whole, config.tasks = config.tasks, config.tasks[:1]
    assert [*MultiTaskModel.from_pretrained(saved[0], config=config).task_heads] == ["topic"]
    config.tasks = [*whole, TaskConfig("new", "regression")]
    with pytest.raises(ValueError, match=r"lack weights.*heads\.new.*add_head"):
        MultiTaskModel.from_pretrained(saved[0], config=config)


def test_what_was_missing_is_initialised_for_one_who_asks_to_be_told(saved, tmp_path):
    folder = with_weights(saved, tmp_path, lambda weights: weights.pop("heads.size.classifier.stock.classifier.bias"))
    model, info = MultiTaskModel.from_pretrained(folder, output_loading_info=True)
    assert info["missing_keys"] == {"heads.size.classifier.stock.classifier.bias"}
    assert model.task_heads["size"].classifier.stock.classifier.bias.eq(0).all()


def test_an_encoder_that_lacks_a_layer_gets_no_heads(encoder_folder, tmp_path):
    weights = load_file(encoder_folder / "model.safetensors")
    name = next(key for key in weights if "layer.1" in key)
    saved_value = weights[name]
    for change, words in (
        (lambda: weights.pop(name), "lack weights of the encoder"),
        (lambda: weights.update({name: torch.full_like(saved_value, math.nan)}), "not a number"),
    ):
        change()
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
        shutil.copy(encoder_folder / "config.json", tmp_path)
        with pytest.raises(ValueError, match=f"{words}.*{re.escape(name)}"):
            MultiTaskModel.from_encoder(tmp_path, TASKS)


@pytest.mark.parametrize("given", [{}, {"ignore_mismatched_sizes": True}])
def test_weights_of_other_shapes_are_named_with_both(tmp_path, given):
    task = TaskConfig("mood", "sentiment", labels=["bad", "good"])
    MultiTaskModel.from_encoder(tiny_encoder(), [task]).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["tasks"][0]["labels"] = ["bad", "fair", "good"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"'heads\.mood\.\S+' is \[2.*\] there and \[3.*\] by config\.json"):
        MultiTaskModel.from_pretrained(tmp_path, **given)
