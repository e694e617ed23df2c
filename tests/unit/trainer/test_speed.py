"""What the trainer's arguments say of how to compute holds while it trains, and no longer."""

import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from transformers import TrainerCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from hf_mtl.encoder import FastDropout
from tests.encoders import tiny_encoder

TASK = TaskConfig("mood", "sentiment", labels=["bad", "good"])


class Watch(TrainerCallback):
    def __init__(self):
        self.seen = set()

    def on_step_end(self, args, state, control, model=None, **kwargs):
        fast = any(isinstance(module, FastDropout) for module in model.modules())
        self.seen.add((model.unpad, model.fast_dropout, fast))


@pytest.fixture
def trainer(tmp_path, tokenizer):
    def build(**kwargs):
        texts = ["a good film", "a bad and long film of no hope at all", "bad", "good"] * 4
        labels = ["good", "bad", "bad", "good"] * 4
        features = Features({"text": Value("string"), "mood": ClassLabel(names=["bad", "good"])})
        data = Dataset.from_dict({"text": texts, "mood": labels}, features=features)
        return MultiTaskTrainer(
            args=MultiTaskTrainingArguments(
                str(tmp_path),
                use_cpu=True,
                max_steps=2,
                per_device_train_batch_size=4,
                save_strategy="no",
                disable_tqdm=True,
                precision="float32",
                **kwargs,
            ),
            train_dataset={"films": data},
            processing_class=tokenizer,
            model_init=lambda: MultiTaskModel.from_encoder(tiny_encoder(vocab_size=len(tokenizer)), [TASK]),
        )

    return build


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, ("auto", True, True)),
        ({"fast_dropout": False}, ("auto", False, False)),
        ({"unpad": False}, (False, True, True)),
    ],
)
def test_arguments_hold_while_it_trains(trainer, arguments, expected):
    trainer, watch = trainer(**arguments), Watch()
    trainer.add_callback(watch)
    trainer.train()
    assert watch.seen == {expected}
    assert (trainer.model.unpad, trainer.model.fast_dropout) == ("auto", False)
    assert not any(isinstance(module, FastDropout) for module in trainer.model.modules())


def test_padding_or_not_trains_the_same_model(trainer):
    weights = []
    for unpad in (True, False):
        job = trainer(unpad=unpad, learning_rate=1e-2)
        for module in job.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        job.model_init = None
        job.train()
        weights.append({name: p.detach().clone() for name, p in job.model.named_parameters()})
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=1e-3, atol=1e-5)
