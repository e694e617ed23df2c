"""What a saved model holds is what is loaded."""

from __future__ import annotations

import pytest
import torch

from hf_mtl import MultiTaskModel, TaskConfig
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
