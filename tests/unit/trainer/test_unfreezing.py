"""Heads alone first, then everything: by a number of steps or by a fraction of all."""

import pytest
import torch
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainingArguments


class Learning(TrainerCallback):
    """Keeps the weights after each step, and whether the encoder learned in it."""

    def __init__(self):
        self.learns, self.weights = {}, {}

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.learns[state.global_step] = any(p.requires_grad for p in model.encoder.parameters())
        self.weights[state.global_step] = [p.detach().clone() for p in model.parameters()]


def train(build, at, resume=None, **kwargs):
    seen = Learning()
    kwargs = {"max_steps": 5, "save_strategy": "no", "freeze_encoder": True, **kwargs}
    trainer = build(unfreeze_at_step=at, trainer_kwargs={"callbacks": [seen]}, **kwargs)
    trainer.train(resume_from_checkpoint=resume)
    return seen


@pytest.mark.parametrize(("at", "heads_alone"), [(0, 0), (0.0, 0), (0.4, 2), (0.5, 3), (2, 2), (2.0, 2), (0.99, 5)])
def test_the_encoder_learns_from_the_step_or_fraction_given(build, at, heads_alone):
    assert list(train(build, at).learns.values()) == [False] * heads_alone + [True] * (5 - heads_alone)


def test_resumed_before_and_after_the_fraction_is_bit_equal(build, tmp_path):
    expected = train(build, 0.4, save_strategy="steps", save_steps=1).weights
    for step in (1, 2, 3):
        found = train(build, 0.4, str(tmp_path / "out" / f"checkpoint-{step}")).weights
        for each, weights in found.items():
            assert all(torch.equal(a, b) for a, b in zip(weights, expected[each], strict=True))


@pytest.mark.parametrize("at", [1.5, -0.1, float("nan"), float("inf")])
def test_a_number_that_is_no_step_and_no_fraction_is_refused(at):
    with pytest.raises(ValueError, match="unfreeze_at_step"):
        MultiTaskTrainingArguments("out", freeze_encoder=True, unfreeze_at_step=at, use_cpu=True)
