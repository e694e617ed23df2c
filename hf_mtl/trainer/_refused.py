"""Fields of Transformers' training arguments that this trainer has no use for: refused, never ignored.

Every other field is honoured; `tests/unit/trainer/test_every_argument.py` has a row for each, and docs/arguments.md
lists both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from transformers import TrainingArguments
from transformers.debug_utils import DebugOption
from transformers.training_args import OptimizerNames

from hf_mtl_light.errors import MissingExtraError, UserError

__all__ = ["REFUSED", "check_values", "refuse_unused"]


def _given(value: Any) -> bool:
    return bool(value)


def _other_than(default: Any) -> Callable[[Any], bool]:
    return lambda value: value != default


#: Field -> whether its value asks for something, and why that cannot be had and what to do.
REFUSED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "average_tokens_across_devices": (
        lambda value: not value,
        "a task's loss is its mean over the items of the whole step, on all processes. Leave it out.",
    ),
    "batch_eval_metrics": (_given, "metrics are counted batch by batch already. Leave it out."),
    "ddp_static_graph": (
        _given,
        "which heads take part changes from step to step, so the graph is not static. Leave it out.",
    ),
    "eval_do_concat_batches": (
        lambda value: not value,
        "predictions are given row by row, by dataset. Leave it out.",
    ),
    "include_for_metrics": (
        _given,
        "metrics are given predictions and references alone. Pass functions of both: "
        "MultiTaskTrainer(metrics={'task': [function]}).",
    ),
    "label_names": (_given, "labels are the columns named after tasks. Rename the columns, and leave it out."),
    "label_smoothing_factor": (
        _given,
        "labels are smoothed task by task: TaskConfig(name, label_smoothing=0.1). Leave it out.",
    ),
    "length_column_name": (
        _other_than("length"),
        "rows are not grouped by length. Leave it out: an encoder that runs without padding has no use for it.",
    ),
    "liger_kernel_config": (_given, "Liger has no kernels for a multi-task model. Leave it out."),
    "prediction_loss_only": (
        _given,
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
    "use_cache": (_given, "no text is continued, so there are no keys and values to keep. Leave it out."),
    "use_liger_kernel": (_given, "Liger has no kernels for a multi-task model. Leave it out."),
}

#: Fields of ``accelerator_config``, likewise.
REFUSED_OF_ACCELERATOR: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "dispatch_batches": (
        lambda value: value is not None,
        "each process computes which rows are its own. Leave it out.",
    ),
    "even_batches": (lambda value: not value, "processes always make the same number of batches. Leave it out."),
    "split_batches": (
        _given,
        "per_device_train_batch_size is each process's own. Divide it by the number of processes instead.",
    ),
    "use_seedable_sampler": (lambda value: not value, "batches depend on the seed and the step alone. Leave it out."),
}

#: Optimizers that update each layer during the backward pass, all at one rate.
_ONE_RATE = ("lomo", "adalomo")
#: Optimizers that take no ``optim_args``.
_WITHOUT_OPTIONS = ("adafactor", "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused")
#: Optimizers that take ``optim_target_modules``.
_WITH_TARGETS = ("galore", "apollo")


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


def check_values(args: TrainingArguments) -> None:
    """Check values that would be misunderstood.

    Args:
        args: The arguments, as given.

    Raises:
        UserError: If a number is too small, or a list is a text.
        ImportError: If DeepSpeed is asked for and missing.
    """
    for name, least in _LEAST.items():
        value = getattr(args, name)
        if value is not None and not value >= least:
            raise UserError(f"{name} must be at least {least}, found {value!r}.")
    for name in _LISTS:
        value = getattr(args, name)
        if isinstance(value, str):
            raise UserError(f"{name} must be a list, found the text {value!r}. Write {name}=[{value!r}].")
    if args.deepspeed and find_spec("deepspeed") is None:
        raise MissingExtraError(
            "deepspeed needs the package of this name, which is not installed. Install it (pip install deepspeed), or "
            "leave deepspeed out."
        )


def refuse_unused(args: TrainingArguments) -> None:
    """Refuse what would be without effect.

    Args:
        args: The arguments, after Transformers' own checks.

    Raises:
        ValueError: With the field, the reason and what to do.
    """
    for name, (asks, reason) in REFUSED.items():
        value = getattr(args, name)
        if asks(value):
            raise UserError(f"{name}={value!r} is not supported: {reason}")
    for name, (asks, reason) in REFUSED_OF_ACCELERATOR.items():
        value = getattr(args.accelerator_config, name)
        if asks(value):
            raise UserError(f"accelerator_config: {name}={value!r} is not supported: {reason}")
    options: Any = args.debug  # made from what was given, names in one text
    for option in options:
        if option == DebugOption.UNDERFLOW_OVERFLOW:
            raise UserError(
                "debug='underflow_overflow' is not supported: Transformers' detector cannot look at boolean attention "
                "masks. Log with logging_nan_inf_filter=False to see the step in which a loss stops being finite."
            )
        raise UserError(f"debug={option.value!r} is not supported: there is nothing to report on TPUs. Leave it out.")
    _refuse_optimizers(args)
    _refuse_parallelism(args)
    if args.device.type == "cpu":
        for name, instead in (("fp16", "bf16=True, use_cpu=True"), ("fp16_full_eval", "bf16_full_eval=True")):
            if getattr(args, name):
                raise UserError(
                    f"{name}=True needs a GPU; this training runs on a CPU. Set {instead}, or leave it out."
                )
    if args.torch_compile and args.neftune_noise_alpha:
        raise UserError(
            "neftune_noise_alpha with torch_compile is not supported: noise is scaled by each row's own length, which "
            "a compiled encoder does not hand on. Leave one of them out."
        )
    if args.dataloader_drop_last and args.gradient_accumulation_steps > 1 and getattr(args, "batching", "") != "mixed":
        raise UserError(
            "dataloader_drop_last with gradient_accumulation_steps and batching='homogeneous' would leave out all rows "
            "of a dataset that do not fill a whole step. Leave it out, or set batching='mixed'."
        )


def _refuse_optimizers(args: TrainingArguments) -> None:
    name = OptimizerNames(args.optim).value
    if args.optim_target_modules is not None and not name.startswith(_WITH_TARGETS):
        raise UserError(
            f"optim_target_modules={args.optim_target_modules!r} is not supported with optim={name!r}: only GaLore and "
            "APOLLO project gradients. Leave it out, or set optim='galore_adamw' or 'apollo_adamw'."
        )
    if args.optim_args and name in _WITHOUT_OPTIONS:
        raise UserError(
            f"optim_args={args.optim_args!r} is not supported with optim={name!r}, which takes none. AdamW's own are "
            "adam_beta1, adam_beta2 and adam_epsilon."
        )
    if name in _ONE_RATE or name.endswith("layerwise"):
        raise UserError(
            f"optim={name!r} is not supported: it updates layers during the backward pass, at one rate, before the "
            "step's tasks are all there. Choose another, such as 'adamw_torch_fused'."
        )


def _refuse_parallelism(args: TrainingArguments) -> None:
    if args.fsdp and args.device.type == "cpu":
        raise UserError(
            "fsdp needs GPUs: on CPUs accelerate would leave it out without a word, and train whole copies. Leave it "
            "out, or train on GPUs."
        )
    for name in ("fsdp", "deepspeed"):
        if getattr(args, name) and getattr(args, "batching", "") == "mixed":
            raise UserError(
                f"{name} with batching='mixed' is not supported: a process that has no rows of a task computes no "
                "gradient of its head, and those that all processes have are exchanged. Leave batching out: steps are "
                "then of one dataset."
            )
    if args.deepspeed and args.hf_deepspeed_config.is_zero3():
        raise UserError(
            "deepspeed with ZeRO stage 3 is not supported: models would be made of weights that are split before they "
            "are read. Set zero_optimization: {stage: 2}, or use fsdp."
        )
    config = args.parallelism_config
    for size in ("tp_size", "cp_size", "sp_size"):
        if config is not None and getattr(config, size, 1) not in (None, 1):
            raise UserError(
                f"parallelism_config: {size}={getattr(config, size)} is not supported: processes share the rows of a "
                "batch, not its tokens or layers. Leave it at 1, and use data parallelism or FSDP."
            )
