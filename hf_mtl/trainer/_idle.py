"""Arguments that nothing reads beside the others that were given: Transformers passes over them without a word."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType
from transformers.training_args import OptimizerNames

__all__ = ["IDLE", "idle_arguments", "idle_beside_optimizers"]

Values = Mapping[str, Any]
#: Optimizers that take neither betas nor epsilon of Adam's arguments.
_WITHOUT_BETAS = ("adafactor", "galore_adafactor", "adagrad", "grokadamw", "rmsprop", "schedule_free_sgd", "sgd")
_CONSTANT = (SchedulerType.CONSTANT, SchedulerType.REDUCE_ON_PLATEAU, SchedulerType.GREEDY)


def _is(name: str, *choices: str) -> Callable[[Values], bool]:
    return lambda given: _plain(given[name]) in choices


def _is_not(name: str, *choices: str) -> Callable[[Values], bool]:
    return lambda given: _plain(given[name]) not in choices


def _plain(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _logs_or_evaluates(given: Values) -> bool:
    """Return whether ``logging_steps`` is read: evaluation takes it where ``eval_steps`` is left out."""
    return _plain(given["logging_strategy"]) == "steps" or (
        _plain(given["eval_strategy"]) == "steps" and not given["eval_steps"]
    )


def _takes_betas(given: Values) -> bool:
    return not _plain(given["optim"]).startswith(_WITHOUT_BETAS)


def _takes_epsilon(given: Values) -> bool:
    return _takes_betas(given) and "lion" not in _plain(given["optim"])


def _warms_up(given: Values) -> bool:
    return given["lr_scheduler_type"] not in _CONSTANT or _plain(given["optim"]).startswith("schedule_free")


def _checkpoints_activations(given: Values) -> bool:
    return bool(given["activation_checkpointing"] or given["gradient_checkpointing"])


def _learns_layers(given: Values) -> bool:
    return not given["freeze_encoder"] or given["unfreeze_at_step"] is not None


def _learns_trunk(given: Values) -> bool:
    return _learns_layers(given) and (not given["freeze_trunk"] or given["unfreeze_at_step"] is not None)


_ADAM = "Set an optim of the Adam family"
_SAVING = "Set save_strategy to 'steps', 'epoch' or 'best'"
_CHECKPOINTING = "Set activation_checkpointing=True"
_LEARNING = "Set unfreeze_at_step, or freeze less"
#: Field -> whether it is read beside the others, the field that decides, and what has it read.
IDLE: Mapping[str, tuple[Callable[[Values], bool], str, str]] = {
    "eval_steps": (_is("eval_strategy", "steps"), "eval_strategy", "Set eval_strategy='steps'"),
    "eval_delay": (_is_not("eval_strategy", "no"), "eval_strategy", "Set eval_strategy to 'steps' or 'epoch'"),
    "save_steps": (_is("save_strategy", "steps"), "save_strategy", "Set save_strategy='steps'"),
    "save_total_limit": (_is_not("save_strategy", "no"), "save_strategy", _SAVING),
    "save_only_model": (_is_not("save_strategy", "no"), "save_strategy", _SAVING),
    "logging_steps": (_logs_or_evaluates, "logging_strategy", "Set logging_strategy='steps'"),
    "hub_strategy": (_is("push_to_hub", "True"), "push_to_hub", "Set push_to_hub=True"),
    "hub_always_push": (_is("push_to_hub", "True"), "push_to_hub", "Set push_to_hub=True"),
    "dataloader_in_order": (_is_not("dataloader_num_workers", "0"), "dataloader_num_workers", "Set workers"),
    "activation_checkpointing_kwargs": (_checkpoints_activations, "activation_checkpointing", _CHECKPOINTING),
    "gradient_checkpointing_kwargs": (_checkpoints_activations, "activation_checkpointing", _CHECKPOINTING),
    "warmup_steps": (_warms_up, "lr_scheduler_type", "Set lr_scheduler_type='constant_with_warmup' or another"),
    "lr_scheduler_kwargs": (
        lambda given: given["lr_scheduler_type"] not in (SchedulerType.CONSTANT, SchedulerType.CONSTANT_WITH_WARMUP),
        "lr_scheduler_type",
        "Set the lr_scheduler_type that takes them",
    ),
    "adam_beta1": (_takes_betas, "optim", _ADAM),
    "adam_beta2": (_takes_betas, "optim", _ADAM),
    "adam_epsilon": (_takes_epsilon, "optim", _ADAM),
    "encoder_layer_decay": (_learns_layers, "freeze_encoder", _LEARNING),
    "trunk_learning_rate": (_learns_trunk, "freeze_encoder or freeze_trunk", _LEARNING),
    "frozen_layers": (
        lambda given: not (given["freeze_encoder"] or given["freeze_trunk"]),
        "freeze_encoder or freeze_trunk",
        "Freeze the layers alone",
    ),
}


def idle_arguments(kind: type[TrainingArguments], values: Values) -> dict[str, str]:
    """Return a sentence for each argument that is set and not read.

    Args:
        kind: The class of the arguments, whose defaults stand for those that are not given.
        values: Arguments by name.

    Returns:
        By name what is not read, because of which, and what to do.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    given = {**defaults, **values}
    given["lr_scheduler_type"] = SchedulerType(given["lr_scheduler_type"])
    given["optim"] = OptimizerNames(given["optim"])
    found = {}
    for name, (is_read, beside, remedy) in IDLE.items():
        if given[name] not in (None, {}, defaults[name]) and not is_read(given):
            others = beside.split(" or ")
            deciding = next((other for other in others if given[other]), others[0])
            found[name] = (
                f"{name}={given[name]!r} is not read with {deciding}={_plain(given[deciding])}. {remedy}, or leave it "
                "out."
            )
    return found


#: What an optimizer, or a scheduler, that is passed in knows itself.
OF_OPTIMIZER = ("learning_rate", "optim", "optim_args", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon")
OF_SCHEDULER = ("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps")


def idle_beside_optimizers(args: TrainingArguments, *, has_scheduler: bool) -> str | None:
    """Return a sentence on the arguments that are set and not read beside an optimizer that is passed in.

    Args:
        args: The arguments.
        has_scheduler: Whether its scheduler is passed in, too.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(args)}
    names = (*OF_OPTIMIZER, *(OF_SCHEDULER if has_scheduler else ()))
    values = {name: getattr(args, name) for name in names}
    found = [f"{name}={_plain(v)}" for name, v in values.items() if v not in (None, {}, defaults[name])]
    if not found:
        return None
    return f"These arguments are not read beside optimizers=: {', '.join(found)}. Set them there, and leave them out."
