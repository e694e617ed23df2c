"""An argument that is set and that nothing reads is said to be idle, with what has it read."""

import inspect
import re

import pytest
import torch
from transformers import Trainer, get_scheduler
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

from hf_mtl import MultiTaskTrainingArguments
from hf_mtl.trainer._idle import IDLE, OF_OPTIMIZER, OF_SCHEDULER, idle_arguments, idle_beside_optimizers
from tests.unit.trainer.test_every_argument import ELSEWHERE, SEEN, STOCK

#: A value of each argument, and arguments beside which it is idle and beside which it is read.
CASES = {
    "eval_steps": (5, {}, {"eval_strategy": "steps"}),
    "eval_delay": (1, {}, {"eval_strategy": "epoch"}),
    "save_steps": (5, {"save_strategy": "epoch"}, {}),
    "save_total_limit": (1, {"save_strategy": "no"}, {"save_strategy": "best"}),
    "save_only_model": (True, {"save_strategy": "no"}, {}),
    "logging_steps": (5, {"logging_strategy": "no"}, {"logging_strategy": "no", "eval_strategy": "steps"}),
    "hub_strategy": ("end", {}, {"push_to_hub": True}),
    "hub_always_push": (True, {}, {"push_to_hub": True}),
    "dataloader_in_order": (False, {}, {"dataloader_num_workers": 1}),
    "activation_checkpointing_kwargs": ({"every_n_layers": 2}, {}, {"activation_checkpointing": True}),
    "gradient_checkpointing_kwargs": ({"every_n_layers": 2}, {}, {"gradient_checkpointing": True}),
    "warmup_steps": (5, {"lr_scheduler_type": "constant"}, {}),
    "lr_scheduler_kwargs": ({"power": 2.0}, {"lr_scheduler_type": "constant"}, {"lr_scheduler_type": "polynomial"}),
    "adam_beta1": (0.5, {"optim": "sgd"}, {"optim": "lion_8bit"}),
    "adam_beta2": (0.5, {"optim": "adafactor"}, {}),
    "adam_epsilon": (1e-3, {"optim": "lion_8bit"}, {}),
    "encoder_layer_decay": (0.5, {"freeze_encoder": True}, {"freeze_encoder": True, "unfreeze_at_step": 2}),
    "trunk_learning_rate": (1e-5, {"freeze_trunk": True}, {}),
    "frozen_layers": (1, {"freeze_encoder": True}, {}),
}
#: Arguments that need others to be seen, and are never idle: why.
NOT_IDLE = {
    "balancing_options": "an option that the balancing lacks is refused",
    "dataloader_drop_last": "read always",
    "dataloader_multiprocessing_context": "refused by torch without workers",
    "dataloader_persistent_workers": "refused by torch without workers",
    "dataloader_prefetch_factor": "refused by Transformers without workers",
    "eval_on_start": "read whatever the strategy",
    "gradient_accumulation_steps": "read always",
    "greater_is_better": "read by hf-mtl sweep, too",
    "load_best_model_at_end": "refused by Transformers without evaluation",
    "logging_first_step": "read whatever the strategy",
    "loss_scaling": "read always",
    "max_grad_norm": "read always",
    "metric_for_best_model": "read by hf-mtl sweep, too",
    "num_train_epochs": "Transformers documents that max_steps takes precedence",
    "optim_args": "refused where the optimizer takes none",
    "save_strategy": "it decides itself",
    "eval_strategy": "it decides itself",
    "unfreeze_at_step": "refused where nothing is frozen",
    "hub_model_id": "read by trainer.push_to_hub()",
    "hub_private_repo": "read by trainer.push_to_hub()",
    "hub_revision": "read by trainer.push_to_hub()",
    "hub_token": "read by trainer.push_to_hub()",
}


def idle(**kwargs):
    return idle_arguments(MultiTaskTrainingArguments, kwargs)


def test_every_argument_that_needs_another_is_in_one_table():
    assert CASES.keys() == IDLE.keys()
    needing = {name for name, seen in SEEN.items() if seen and seen.beside}
    needing |= {name for name in ELSEWHERE if name.startswith("hub_")}
    assert needing <= IDLE.keys() | NOT_IDLE.keys()
    assert not IDLE.keys() & NOT_IDLE.keys()
    assert IDLE.keys() - STOCK == {"encoder_layer_decay", "frozen_layers", "trunk_learning_rate"}


@pytest.mark.parametrize("name", CASES)
def test_an_argument_that_is_set_and_not_read_is_named_with_its_remedy(name):
    value, without, beside = CASES[name]
    message = idle(**{name: value}, **without)[name]
    assert message.startswith(f"{name}={value!r} is not read with ")
    assert message.endswith("or leave it out.")
    assert name not in idle(**{name: value}, **beside)
    assert name not in idle(**without)


def test_arguments_say_it_once(tmp_path, caplog):
    for _ in range(2):
        MultiTaskTrainingArguments(str(tmp_path), eval_steps=71, save_strategy="no", save_total_limit=3)
    assert [record.getMessage() for record in caplog.records if "is not read" in record.getMessage()] == [
        "eval_steps=71 is not read with eval_strategy=no. Set eval_strategy='steps', or leave it out.",
        "save_total_limit=3 is not read with save_strategy=no. Set save_strategy to 'steps', 'epoch' or 'best', or "
        "leave it out.",
    ]


@pytest.mark.parametrize("name", [kind.value for kind in SchedulerType])
def test_warm_up_is_idle_where_a_scheduler_of_transformers_ignores_it(name):
    def rates(warmup):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
        more = {"num_decay_steps": 5} if name == "warmup_stable_decay" else {}
        more |= {"min_lr": 0.1} if "min_lr" in name else {}
        scheduler = get_scheduler(name, optimizer, warmup, 20, more)
        return [group["lr"] for group in optimizer.param_groups], type(scheduler)

    ignores = rates(0) == rates(5)
    assert ("warmup_steps" in idle(warmup_steps=5, lr_scheduler_type=name)) == ignores


def test_options_of_adam_are_idle_where_an_optimizer_of_transformers_ignores_them(tmp_path):
    def taken(name, **kwargs):
        args = MultiTaskTrainingArguments(str(tmp_path), optim=name, use_cpu=True, **kwargs)
        return Trainer.get_optimizer_cls_and_kwargs(args, torch.nn.Linear(2, 2))[1]

    seen = []
    for name in (kind.value for kind in OptimizerNames):
        try:
            usual = taken(name)
        except (ImportError, ValueError):  # its package is not installed, or it is refused
            continue
        for field, value in (("adam_beta1", 0.5), ("adam_beta2", 0.5), ("adam_epsilon", 1e-3)):
            ignores = taken(name, **{field: value}) == usual
            assert (field in idle(optim=name, **{field: value})) == ignores, (name, field)
            seen.append(ignores)
    assert set(seen) == {True, False}


def test_what_an_optimizer_that_is_passed_in_knows_is_said_to_be_idle(tmp_path):
    args = MultiTaskTrainingArguments(str(tmp_path), learning_rate=1e-3, adam_beta1=0.5, warmup_steps=3)
    said = idle_beside_optimizers(args, has_scheduler=False)
    assert "learning_rate=0.001, adam_beta1=0.5. Set them there" in said
    assert "warmup_steps=3" in idle_beside_optimizers(args, has_scheduler=True)
    assert idle_beside_optimizers(MultiTaskTrainingArguments(str(tmp_path)), has_scheduler=True) is None
    methods = ("get_optimizer_cls_and_kwargs", "create_scheduler")
    source = "".join(inspect.getsource(getattr(Trainer, name)) for name in methods)
    read = set(re.findall(r"\bargs\.(\w+)", source))
    assert {"optim", "lr_scheduler_type"} <= read & STOCK <= {*OF_OPTIMIZER, *OF_SCHEDULER}
