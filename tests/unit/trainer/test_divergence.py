"""A training that diverges stops, names the task, and leaves the last good checkpoint."""

import math

import pytest
import torch

from hf_mtl.trainer._divergence import DivergenceError
from hf_mtl.trainer._whole import checkpoints_in


def spoil(trainer, name="mood", at=3):
    """Let a head's weights become infinite after a step."""
    from transformers import TrainerCallback

    class Spoil(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == at:
                with torch.no_grad():
                    next(model.task_heads[name].parameters()).fill_(math.inf)

    trainer.add_callback(Spoil())
    return trainer


@pytest.mark.parametrize("balancing", ["fixed", "uncertainty"])
def test_loss_that_is_not_finite_stops_naming_task_and_checkpoint(build, tmp_path, balancing):
    trainer = spoil(build(max_steps=8, save_steps=2, save_total_limit=1, balancing=balancing))
    with pytest.raises(
        DivergenceError, match=r"step 4 task 'mood' has the loss nan.*lower learning_rate.*checkpoint-2"
    ):
        trainer.train()
    assert sorted(checkpoints_in(tmp_path / "out")) == [2]
    with pytest.raises(DivergenceError, match="parameters are not finite"):
        trainer.save_model()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert not (tmp_path / "out" / "README.md").exists()


def test_warning_continues_and_saves_no_bad_weights(build, tmp_path):
    trainer = spoil(build(max_steps=6, save_steps=2, save_total_limit=1, on_divergence="warn"))
    with pytest.warns(UserWarning, match="The training diverged"):
        trainer.train()
    assert trainer.state.global_step == 6
    assert sorted(checkpoints_in(tmp_path / "out")) == [2]
    logged = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert all(map(math.isfinite, logged[:3]))
    assert all(map(math.isnan, logged[3:])), "a loss that is no number was logged as one"
    with pytest.raises(DivergenceError, match="logits are infinite or not a number"):
        trainer.evaluate()


def test_rate_of_a_million_is_an_error(build):
    with pytest.raises(DivergenceError, match=r"now 1e\+30"):
        build(max_steps=20, learning_rate=1e30, head_learning_rate=1e30).train()


def test_wrong_choice_is_refused(build):
    with pytest.raises(ValueError, match="on_divergence must be one of"):
        build(on_divergence="ignore")


def test_model_in_memory_equals_the_one_loaded_after_bfloat16(build, tmp_path):
    from hf_mtl import MultiTaskModel

    trainer = build(max_steps=2, save_strategy="no", precision="bfloat16")
    for _ in range(2):
        trainer.train()
        trainer.save_model()
        loaded = MultiTaskModel.from_pretrained(tmp_path / "out")
        inputs = {"input_ids": torch.arange(8)[None], "attention_mask": torch.ones(1, 8, dtype=torch.long)}
        with torch.no_grad():
            one, two = trainer.model.eval()(**inputs).logits, loaded.eval()(**inputs).logits
        assert all(torch.equal(one[name], two[name]) for name in two)
