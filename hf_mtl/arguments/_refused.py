"""Fields of Transformers' training arguments that the trainer has no use for, and values that would be misunderstood.

Every other field is honoured; `tests/unit/trainer/test_every_argument.py` has a row for each, and docs/arguments.md
lists both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["REFUSED", "check_values", "given", "refuse_fields"]


def given(value: Any) -> bool:
    return bool(value)


def _other_than(default: Any) -> Callable[[Any], bool]:
    return lambda value: value != default


#: Field -> whether its value asks for something, and why that cannot be had and what to do.
REFUSED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "average_tokens_across_devices": (
        lambda value: not value,
        "a task's loss is its mean over the items of the whole step, on all processes. Leave it out.",
    ),
    "batch_eval_metrics": (given, "metrics are counted batch by batch already. Leave it out."),
    "ddp_static_graph": (
        given,
        "which heads take part changes from step to step, so the graph is not static. Leave it out.",
    ),
    "eval_do_concat_batches": (
        lambda value: not value,
        "predictions are given row by row, by dataset. Leave it out.",
    ),
    "include_for_metrics": (
        given,
        "metrics are given predictions and references alone. Pass functions of both: "
        "MultiTaskTrainer(metrics={'task': [function]}).",
    ),
    "label_names": (given, "labels are the columns named after tasks. Rename the columns, and leave it out."),
    "label_smoothing_factor": (
        given,
        "labels are smoothed task by task: TaskConfig(name, label_smoothing=0.1). Leave it out.",
    ),
    "length_column_name": (
        _other_than("length"),
        "rows are not grouped by length. Leave it out: an encoder that runs without padding has no use for it.",
    ),
    "liger_kernel_config": (given, "Liger has no kernels for a multi-task model. Leave it out."),
    "prediction_loss_only": (
        given,
        "evaluation scores each task, and keeps counts only. For the loss read eval_loss; leave it out.",
    ),
    "remove_unused_columns": (
        lambda value: not value,
        "columns are read by their names (text, text_pair, tokens, ... and the tasks), and others are never read. "
        "Leave it out.",
    ),
    "train_sampling_strategy": (
        _other_than("random"),
        "sampling, sampling_options and batching decide which rows are drawn, and in which order. Leave it out.",
    ),
    "use_cache": (given, "no text is continued, so there are no keys and values to keep. Leave it out."),
    "use_liger_kernel": (given, "Liger has no kernels for a multi-task model. Leave it out."),
}

#: The least value of numbers that Transformers takes as they are.
_LEAST = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 0,
    "learning_rate": 0,
    "weight_decay": 0,
    "max_grad_norm": 0,
    "neftune_noise_alpha": 0,
    "eval_delay": 0,
    "dataloader_num_workers": 0,
}
#: Lists of texts, whose letters a text alone would be taken for.
_LISTS = ("frozen_heads", "card_examples", "card_pictures")


def check_values(values: Mapping[str, Any]) -> None:
    """Check values that would be misunderstood.

    Args:
        values: Arguments by name, as given; all or some.

    Raises:
        UserError: If a number is too small, or a list is a text.
        ImportError: If DeepSpeed is asked for and missing.
    """
    for name, least in _LEAST.items():
        value = values.get(name)
        if value is not None and not value >= least:
            raise UserError(f"{name} must be at least {least}, found {value!r}.")
    for name in _LISTS:
        value = values.get(name)
        if isinstance(value, str):
            raise UserError(f"{name} must be a list, found the text {value!r}. Write {name}=[{value!r}].")
    if values.get("deepspeed") and find_spec("deepspeed") is None:
        raise MissingExtraError(
            "deepspeed needs the package of this name, which is not installed. Install it (pip install deepspeed), or "
            "leave deepspeed out."
        )


def refuse_fields(values: Mapping[str, Any]) -> None:
    """Refuse fields that would be without effect.

    Args:
        values: Arguments by name; all or some.

    Raises:
        UserError: With the field, the reason and what to do.
    """
    for name, (asks, reason) in REFUSED.items():
        if name in values and asks(values[name]):
            raise UserError(f"{name}={values[name]!r} is not supported: {reason}")
