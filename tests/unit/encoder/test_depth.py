"""Where in an encoder its parameters lie."""

from __future__ import annotations

import pytest

from hf_mtl.encoder import layer_depth
from tests.encoders import DECODERS, FAMILIES, PAIRS, tiny_encoder

EVERY_FAMILY = [*FAMILIES, *PAIRS, *DECODERS]


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_embeddings_lie_below_all_layers(family):
    encoder = tiny_encoder(family)
    embeddings = encoder.get_input_embeddings().weight
    (name,) = (name for name, parameter in encoder.named_parameters() if parameter is embeddings)
    assert layer_depth(name, 2) == 0


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_every_layer_is_found(family):
    depths = {layer_depth(name, 2) for name, _ in tiny_encoder(family).named_parameters()}
    assert depths == {0, 1, 2}


@pytest.mark.parametrize("name", ["wpe.weight", "encoder.relative_attention_bias.weight"])
def test_positions_lie_with_the_embeddings(name):
    assert layer_depth(name, 2) == 0


@pytest.mark.parametrize("name", ["ln_f.weight", "norm.weight", "encoder.final_layer_norm.weight", "pooler.dense.bias"])
def test_what_follows_the_top_layer_lies_with_it(name):
    assert layer_depth(name, 2) == 2


def test_a_bias_that_belongs_to_a_layer_stays_there():
    assert layer_depth("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 2) == 1
