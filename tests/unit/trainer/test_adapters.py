"""Training with adapters: what learns, resuming, the best model, methods, and adapters that others put on."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoTokenizer, TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments
from hf_mtl.trainer._adapting import adapted
from tests.encoders import tiny_encoder
from tests.trainers import TASKS, make_data
from tests.unit.trainer.test_resuming import Digests, assert_equal

peft = pytest.importorskip("peft")
# peft 0.21 reads a name that Transformers 5.23 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

LORA = {"type": "LORA", "r": 4, "target_modules": ["query", "value"]}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("encoder"))
    tiny_encoder().save_pretrained(folder)
    return folder


@pytest.fixture
def adapting(build, encoder):
    def adapting(config=LORA, callbacks=(), trainer_kwargs=None, **kwargs):
        torch.manual_seed(5)
        model = MultiTaskModel.from_encoder(encoder, TASKS)
        given = {"peft_config": config, "callbacks": list(callbacks), **(trainer_kwargs or {})}
        return build(model=model, trainer_kwargs=given, **{"max_steps": 4, "learning_rate": 1e-2, **kwargs})

    return adapting


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


STRATEGIES = {
    "plain": {},
    "gradients": {"balancing": "gradient", "balancing_options": {"aggregator": "pcgrad"}},
    "average, consistency, activation checkpointing, a frozen layer": {
        "average": {"kind": "ema", "decay": 0.5},
        "methods": {"r-drop": {"alpha": 0.5}},
        "activation_checkpointing": True,
        "frozen_layers": 1,
    },
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_adapters_and_heads_learn_and_nothing_else_and_resuming_equals_not_stopping(strategy, adapting, tmp_path):
    digests = Digests()
    trainer = adapting(callbacks=[digests], save_steps=2, **strategy)
    before = weights(trainer.model)
    trainer.train()
    after = weights(trainer.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if "layer.0." in name} if "frozen_layers" in strategy else set()
    assert changed == {name for name in before if "lora_" in name or name.startswith("heads.")} - frozen
    again = Digests()
    resumed = adapting(callbacks=[again], save_strategy="no", **strategy)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-2"))
    assert sorted(again.weights) == [3, 4]
    assert_equal(again.weights, digests.weights)


def test_the_adapter_of_a_task_learns_in_steps_of_its_dataset_alone_and_resumes(adapting, tmp_path):
    kept = {}

    class Keeps(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            kept[state.global_step] = weights(model)

    by_name = {"mood": {"r": 2}, "similarity": {"r": 4}}
    digests, again = Digests(), Digests()
    given = {"batching": "homogeneous", "sampling": "round-robin"}
    trainer = adapting(by_name, [Keeps(), digests], save_steps=2, **given)
    kept[0] = weights(trainer.model)
    trainer.train()
    learned = [
        {n.split(".")[1] for n, v in kept[step].items() if "lora_" in n and not torch.equal(v, kept[step - 1][n])}
        for step in range(1, 5)
    ]
    assert all(len(names) <= 1 for names in learned)
    assert set().union(*learned) == {"mood", "similarity"}
    resumed = adapting(by_name, [again], save_strategy="no", **given)
    resumed.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-2"))
    assert_equal(again.weights, digests.weights)


def test_the_best_checkpoint_is_loaded_saved_and_answers_the_same(adapting, tmp_path):
    kept = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True}
    trainer = adapting(**kept, metric_for_best_model="eval_loss")
    trainer.train()
    best = MultiTaskModel.from_pretrained(trainer.state.best_model_checkpoint)
    trainer.save_model(str(tmp_path / "saved"))
    saved = MultiTaskModel.from_pretrained(tmp_path / "saved")
    for other in (best, saved):
        assert all(torch.equal(value, weights(other)[name]) for name, value in weights(trainer.model).items())
    assert len(AutoTokenizer.from_pretrained(tmp_path / "saved")) > 10
    assert not list((tmp_path / "saved").glob("model*.safetensors"))


def test_adapters_are_drawn_from_the_seed_and_each_trial_gets_its_own(adapting, encoder, tokenizer, tmp_path):
    torch.manual_seed(1)
    one = weights(adapting().model)
    torch.manual_seed(2)
    assert all(torch.equal(value, one[name]) for name, value in weights(adapting().model).items())
    args = MultiTaskTrainingArguments(str(tmp_path), use_cpu=True, max_steps=1, disable_tqdm=True)
    given = {"model_init": lambda: MultiTaskModel.from_encoder(encoder, TASKS), "peft_config": LORA}
    made = MultiTaskTrainer(None, args, make_data(), processing_class=tokenizer, **given)
    made.train()
    assert made.model.has_adapters


def test_a_checkpoint_of_another_adapter_is_not_resumed(adapting, tmp_path):
    adapting(max_steps=1, save_steps=1).train()
    for other in (None, {**LORA, "r": 2}, {**LORA, "lora_alpha": 16}):
        with pytest.raises(ValueError, match="peft"):
            adapting(other).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-1"))


def test_arguments_that_would_undo_adapters_are_refused(adapting, encoder, tokenizer):
    with pytest.raises(ValueError, match="freeze the adapters"):
        adapting(freeze_encoder=True)
    with pytest.raises(ValueError, match="FSDP or DeepSpeed"):
        adapted(MultiTaskModel.from_encoder(encoder, TASKS), LORA, SimpleNamespace(seed=1, fsdp=["full_shard"]))
    args = MultiTaskTrainingArguments(encoder, use_cpu=True)
    model = MultiTaskModel.from_encoder(encoder, TASKS)
    with pytest.raises(ValueError, match="holds the encoder"):
        MultiTaskTrainer(model, args, make_data(), processing_class=tokenizer, peft_config=LORA)


def on_the_model(model):
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"]))


def on_the_encoder(model):
    model.encoder = peft.get_peft_model(model.encoder, peft.LoraConfig(target_modules=["query"]))
    return model


@pytest.mark.parametrize("put_on", [on_the_model, on_the_encoder])
def test_adapters_put_on_by_hand_are_refused_before_anything_is_trained_or_lost(put_on, tmp_path, tokenizer):
    model = put_on(MultiTaskModel.from_encoder(tiny_encoder(), TASKS))
    args = MultiTaskTrainingArguments(str(tmp_path / "out"), use_cpu=True)
    with pytest.raises(ValueError, match=r"by hand are not supported.*peft_config.*add_adapter"):
        MultiTaskTrainer(model, args, make_data(), processing_class=tokenizer)
    if isinstance(model, MultiTaskModel):
        with pytest.raises(ValueError, match="by hand are not supported"):
            model.save_pretrained(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
