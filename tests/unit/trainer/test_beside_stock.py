"""One model of one task, trained by this trainer and by Transformers', on the same rows in the same order.

Both are asked for the same by the same arguments. What they do must be the same: steps, logs, losses, rates, norms,
evaluations, checkpoints, the best of them, the calls of callbacks in their order, and the weights in the end.
"""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
from tests.conftest import make_tokenizer
from tests.encoders import tiny_encoder
from tests.trainers import make_data

TASK = TaskConfig("mood", "sentiment", labels=["bad", "good"])
ROWS = make_data(2)["sst"].select(range(24))
EVALUATED = make_data(3)["sst"].select(range(24, 40))
TOKENIZER = make_tokenizer()

STEPS = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
BEST = {**STEPS, "load_best_model_at_end": True, "metric_for_best_model": "loss"}

#: What is asked of both; six batches an epoch unless said otherwise.
SCENARIOS = {
    "two epochs": {"num_train_epochs": 2},
    "one and a half epochs, seldom logged": {"num_train_epochs": 1.5, "logging_steps": 4},
    "half an epoch, its tokens counted": {"num_train_epochs": 0.5, "include_num_input_tokens_seen": "all"},
    "fewer steps than an epoch": {"max_steps": 4},
    "more steps than an epoch": {"max_steps": 8, "num_train_epochs": 1},
    "a short last batch, no clipping": {"per_device_train_batch_size": 7, "num_train_epochs": 2, "max_grad_norm": 0.0},
    "the short last batch dropped": {"per_device_train_batch_size": 7, "dataloader_drop_last": True},
    "accumulation": {"gradient_accumulation_steps": 2, "num_train_epochs": 2},
    "accumulation that does not divide an epoch": {"gradient_accumulation_steps": 4, "batching": "mixed"},
    "much clipping": {"max_grad_norm": 0.01, "optim": "sgd"},
    "weight decay, cosine schedule": {"weight_decay": 0.3, "lr_scheduler_type": "cosine", "warmup_steps": 2},
    "warm-up by ratio": {"warmup_steps": 0.5},
    "plateau": {**STEPS, "lr_scheduler_type": "reduce_lr_on_plateau", "metric_for_best_model": "loss"},
    "SGD, polynomial schedule": {
        "optim": "sgd",
        "optim_args": "momentum=0.9",
        "lr_scheduler_type": "polynomial",
        "lr_scheduler_kwargs": {"power": 2.0},
    },
    "Adafactor": {"optim": "adafactor"},
    "AdamW of torch, cosine with restarts": {
        "optim": "adamw_torch",
        "adam_beta1": 0.5,
        "adam_epsilon": 1e-4,
        "lr_scheduler_type": "cosine_with_restarts",
        "lr_scheduler_kwargs": {"num_cycles": 2},
    },
    "RMSprop, constant with warm-up": {
        "optim": "rmsprop",
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": 3,
    },
    "evaluation before training": {"eval_strategy": "epoch", "eval_on_start": True},
    "evaluation after a delay": {"eval_strategy": "steps", "eval_steps": 2, "eval_delay": 3},
    "evaluation each epoch in short batches": {
        "eval_strategy": "epoch",
        "num_train_epochs": 2,
        "per_device_eval_batch_size": 4,
    },
    "steps as parts of the training": {**STEPS, "eval_steps": 0.5, "save_steps": 0.5, "logging_steps": 0.25},
    "the best model": BEST,
    "the best model, few kept": {**BEST, "save_total_limit": 1, "num_train_epochs": 2},
    "the last two kept": {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 2},
    "saved where it is best": {**BEST, "save_strategy": "best"},
    "saved each epoch": {"save_strategy": "epoch", "num_train_epochs": 2},
    "models alone saved": {"save_strategy": "epoch", "save_only_model": True},
    "stopped early": {**BEST, "num_train_epochs": 4, "learning_rate": 0.0},
    "the first step logged": {"logging_steps": 4, "logging_first_step": True},
    "logged each epoch": {"logging_strategy": "epoch", "num_train_epochs": 2},
    "never logged": {"logging_strategy": "no"},
    "tokens counted without padding": {"include_num_input_tokens_seen": "non_padding"},
    "activation checkpointing": {"activation_checkpointing": True},
    "loader workers": {"dataloader_num_workers": 1},
}
#: Resumed from the checkpoint of step 4.
RESUMED = {
    "in mid-epoch": {"save_strategy": "steps", "save_steps": 4, "num_train_epochs": 2},
    "after accumulation": {"save_strategy": "steps", "save_steps": 4, "gradient_accumulation_steps": 2, "max_steps": 6},
    "with the best model": {**BEST, "num_train_epochs": 2},
}


class Calls(TrainerCallback):
    """Notes each call of a callback with the step at which it comes."""

    def __init__(self):
        self.seen = []


def _note(name):
    def called(self, args, state, control, **kwargs):
        self.seen.append((name, state.global_step))

    return called


for _name in [name for name in vars(TrainerCallback) if name.startswith("on_")]:
    setattr(Calls, _name, _note(_name))


class InOrder:
    """The batches of this trainer, for Transformers'."""

    def __init__(self, batch_sampler, trainer):
        self.batch_sampler, self.trainer = batch_sampler, trainer

    def __len__(self):
        return len(self.batch_sampler)

    def __iter__(self):
        self.batch_sampler.set_epoch(int((self.trainer.state.epoch or 0) + 1e-6))
        return ([int(row) for row in batch] for batch in self.batch_sampler)


class StockTrainer(Trainer):
    def get_train_dataloader(self):
        return DataLoader(
            self.train_dataset,
            batch_sampler=InOrder(self.order, self),
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
        )


def tokenised(rows):
    encoded = [TOKENIZER(row["text"]) | {"labels": TASK.labels.index(row["mood"])} for row in rows]
    return Dataset.from_list([dict(one) for one in encoded])


STOCK_ROWS, STOCK_EVALUATED = tokenised(ROWS), tokenised(EVALUATED)


def both(folder, scenario):
    """Return this trainer and Transformers', with equal weights, arguments and rows."""
    arguments = {"use_cpu": True, "disable_tqdm": True, "logging_steps": 1, "learning_rate": 1e-2, "seed": 3}
    arguments |= {"per_device_train_batch_size": 4, "save_strategy": "no", "num_train_epochs": 1, **scenario}
    torch.manual_seed(5)
    # The draws of dropout depend on padding, so there are none; what is compared is the rest.
    encoder = tiny_encoder(num_hidden_layers=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = MultiTaskModel.from_encoder(encoder, [TASK], unpad=False)
    stock_model = model.to_transformers("mood")
    # With it BERT's loss is divided by the accumulation steps once, as it should.
    stock_model.accepts_loss_kwargs = False
    stock_arguments = {name: value for name, value in arguments.items() if name != "batching"}
    own = MultiTaskTrainer(
        model,
        MultiTaskTrainingArguments(
            str(folder / "own"), precision="float32", head_learning_rate=arguments["learning_rate"], **arguments
        ),
        {"sst": ROWS},
        {"sst": EVALUATED},
        TOKENIZER,
    )
    stock = StockTrainer(
        stock_model,
        TrainingArguments(str(folder / "stock"), **stock_arguments),
        DataCollatorWithPadding(TOKENIZER),
        STOCK_ROWS,
        STOCK_EVALUATED,
        TOKENIZER,
    )
    stock.order = own.get_train_dataloader().batch_sampler
    for trainer in (own, stock):
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Calls())
    return own, stock


def calls_of(trainer):
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, Calls)).seen


def checkpoints(trainer):
    return sorted(path.name for path in Path(trainer.args.output_dir).glob("checkpoint-*"))


def assert_same(own, stock, result, expected):
    assert calls_of(own) == calls_of(stock)
    for name in ("global_step", "max_steps", "epoch", "num_train_epochs", "num_input_tokens_seen", "best_global_step"):
        assert getattr(own.state, name) == getattr(stock.state, name), name
    assert result.training_loss == pytest.approx(expected.training_loss, rel=1e-4)
    assert len(own.state.log_history) == len(stock.state.log_history)
    for log, wanted in zip(own.state.log_history, stock.state.log_history, strict=True):
        assert set(wanted) - set(log) <= {"eval_model_preparation_time"}
        for name, value in wanted.items():
            if "runtime" not in name and "per_second" not in name and name in log and name != "total_flos":
                assert log[name] == pytest.approx(value, rel=2e-3, abs=1e-6), (name, log["step"])
    assert checkpoints(own) == checkpoints(stock)
    best, wanted = (t.state.best_model_checkpoint for t in (own, stock))
    assert (best and Path(best).name) == (wanted and Path(wanted).name)
    if wanted:
        assert own.state.best_metric == pytest.approx(stock.state.best_metric, rel=1e-3)
    inputs = TOKENIZER(["a very good film", "bob is bad"], padding=True, return_tensors="pt")
    logits = [t.model.eval()(**inputs).logits for t in (own, stock)]
    torch.testing.assert_close(logits[0]["mood"], logits[1], rtol=5e-3, atol=5e-4)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_training_goes_as_in_transformers(tmp_path, scenario):
    own, stock = both(tmp_path, SCENARIOS[scenario])
    if scenario == "stopped early":
        for trainer in (own, stock):
            trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=2))
    assert_same(own, stock, own.train(), stock.train())
    assert own.state.global_step > 0


@pytest.mark.parametrize("scenario", RESUMED)
def test_a_training_is_resumed_as_in_transformers(tmp_path, scenario):
    for trainer in both(tmp_path, RESUMED[scenario]):
        trainer.train()
    own, stock = both(tmp_path, RESUMED[scenario])
    results = [t.train(resume_from_checkpoint=str(Path(t.args.output_dir) / "checkpoint-4")) for t in (own, stock)]
    assert_same(own, stock, *results)


def test_a_second_training_goes_as_in_transformers(tmp_path):
    own, stock = both(tmp_path, {})
    for trainer in (own, stock):
        trainer.train()
    assert_same(own, stock, own.train(), stock.train())
