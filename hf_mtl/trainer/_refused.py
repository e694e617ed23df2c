"""What this trainer has no use for among Transformers' training arguments: refused, never ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.debug_utils import DebugOption
from transformers.training_args import OptimizerNames

from hf_mtl.arguments import given, refuse_fields
from hf_mtl_light.errors import UserError

__all__ = ["refuse_unused"]

#: Fields of ``accelerator_config``, likewise.
REFUSED_OF_ACCELERATOR: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "dispatch_batches": (
        lambda value: value is not None,
        "each process computes which rows are its own. Leave it out.",
    ),
    "even_batches": (lambda value: not value, "processes always make the same number of batches. Leave it out."),
    "split_batches": (
        given,
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


def refuse_unused(args: TrainingArguments) -> None:
    """Refuse what would be without effect.

    Args:
        args: The arguments, after Transformers' own checks.

    Raises:
        ValueError: With the field, the reason and what to do.
    """
    refuse_fields(vars(args))
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
