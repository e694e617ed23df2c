"""Whether what a trainer is given can be used: said when it is built, not hours later, and never passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import evaluate
import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from hf_mtl.balancers import Balancer
from hf_mtl.configuration import by_encoder
from hf_mtl.data import MultiTaskCollator
from hf_mtl.model import MultiTaskModel
from hf_mtl.samplers import DatasetSampler
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._card_pictures import check_card_pictures
from hf_mtl.trainer._idle import idle_beside_optimizers
from hf_mtl.trainer._scoring import Metric
from hf_mtl.trainer._types import check_types
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = [
    "check_given",
    "check_kinds",
    "check_model",
    "check_sizes",
    "metrics_by_task",
    "no_collator",
    "refuse_ignored_keys",
    "refuse_stock_functions",
]

logger = logging.get_logger(__name__)

#: Functions that Transformers' trainer takes, and what to do here.
_FUNCTIONS = {
    "compute_loss_func": "each task's loss is its head's. Write a head of your own (from_encoder(..., heads=...)), or "
    "pass balancer= to change how the tasks' losses become one.",
    "compute_metrics": "each task is scored by its own metrics. Pass metrics={'task': ['accuracy', function]}: names "
    "and functions of predictions and references.",
    "preprocess_logits_for_metrics": "metrics are given predictions, and no logits are kept. Leave it out.",
}


def refuse_stock_functions(**given: Any) -> None:
    """Refuse functions that Transformers' trainer calls and this one does not.

    Raises:
        ValueError: If one is given; the message says what to do.
    """
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} is not supported: {_FUNCTIONS[name]}")


def refuse_ignored_keys(name: str, value: Any) -> None:
    """Refuse keys of outputs that are to be left out.

    Args:
        name: What they are called.
        value: The keys.

    Raises:
        ValueError: If there are any.
    """
    if value:
        raise UserError(f"{name}={value!r} is not supported: outputs are scored and answered, not kept. Leave it out.")


def check_kinds(args: Any, processing_class: PreTrainedTokenizerBase | None, image_processor: Any) -> Any:
    """Check that the arguments are ours, there is something to read rows with, and one process has one GPU.

    Args:
        args: The arguments.
        processing_class: The tokenizer.
        image_processor: The image processor.

    Returns:
        The tokenizer; of a model of pictures alone the image processor.

    Raises:
        TypeError: If the arguments are Transformers' own.
        ValueError: If there is neither a tokenizer nor an image processor, a picture
            of the card cannot be read, or there are several GPUs.
    """
    if not isinstance(args, MultiTaskTrainingArguments):
        raise UserTypeError(f"args must be MultiTaskTrainingArguments, found {type(args).__name__}.")
    check_types(processing_class=processing_class, image_processor=image_processor)
    if processing_class is None and image_processor is None:
        raise UserError("No tokenizer. Pass processing_class=AutoTokenizer.from_pretrained(name), the encoder's own.")
    if args.n_gpu > 1:
        raise UserError(
            "torch.nn.DataParallel cannot split a batch of several tasks. Start one process a GPU instead: "
            "torchrun --nproc_per_node N, or accelerate launch."
        )
    check_card_pictures(args.card_pictures or (), image_processor)
    return image_processor if processing_class is None else processing_class


def check_given(
    args: MultiTaskTrainingArguments, data_collator: Any, sampler: Any, balancer: Any, optimizers: Sequence[Any]
) -> None:
    """Check what a trainer is given, by itself and against the arguments.

    Args:
        args: The arguments.
        data_collator: A collator in place of `MultiTaskCollator`.
        sampler: A sampler in place of ``args.sampling``.
        balancer: A balancer in place of ``args.balancing``.
        optimizers: An optimizer and a scheduler, or ``None`` for each.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If an argument would be without effect beside it.
    """
    if data_collator is not None and not isinstance(data_collator, MultiTaskCollator):
        raise UserTypeError(
            f"data_collator must be a hf_mtl.data.MultiTaskCollator, found {type(data_collator).__name__}: rows of "
            "several tasks are tokenised and labelled in one go. Leave it out; max_length truncates."
        )
    passed: tuple[tuple[str, Any, type[Any], str, str], ...] = (
        ("sampler", sampler, DatasetSampler, "sampling", "proportional"),
        ("balancer", balancer, Balancer, "balancing", "fixed"),
    )
    for name, value, kind, field, default in passed:
        if value is None:
            continue
        if not isinstance(value, kind):
            raise UserTypeError(
                f"{name} must be a {kind.__name__}, found {type(value).__name__}. Names go into the arguments: "
                f"MultiTaskTrainingArguments({field}=...)."
            )
        if getattr(args, field) != default:
            raise UserError(f"{field}={getattr(args, field)!r} would be without effect beside {name}=. Leave one out.")
    if balancer is not None and args.balancing_options:
        raise UserError("balancing_options would be without effect beside balancer=. Give them to the balancer.")
    optimizer, scheduler = optimizers
    if scheduler is not None and optimizer is None:
        raise UserError("optimizers holds a scheduler without its optimizer. Pass both, or (None, None).")
    if optimizer is not None:
        if idle := idle_beside_optimizers(args, has_scheduler=scheduler is not None):
            logger.warning(idle)
        for field, is_given in (
            ("head_learning_rate", args.head_learning_rate is not None),
            ("encoder_layer_decay", args.encoder_layer_decay != 1),
            ("trunk_learning_rate", args.trunk_learning_rate is not None),
        ):
            if is_given:
                raise UserError(
                    f"{field}={getattr(args, field)!r} would be without effect beside optimizers=, whose groups have "
                    "their own rates. Leave one out."
                )


def check_sizes(args: MultiTaskTrainingArguments, sizes: Mapping[str, int]) -> None:
    """Check that dropping what fills no batch leaves rows of each dataset.

    Args:
        args: The arguments.
        sizes: Rows of each training dataset.

    Raises:
        ValueError: If steps hold one dataset's rows, and one has fewer rows than a batch.
    """
    rows = args.train_batch_size * args.world_size
    for name, size in sizes.items():
        if args.dataloader_drop_last and args.batching == "homogeneous" and size < rows:
            raise UserError(
                f"Dataset {name!r}: {size} rows do not fill one batch of {rows}, so with dataloader_drop_last none "
                "of them would be trained on. Lower per_device_train_batch_size, or leave dataloader_drop_last out."
            )


def check_model(
    args: MultiTaskTrainingArguments, optimizer: torch.optim.Optimizer | None, model: MultiTaskModel
) -> None:
    """Check that the model can be trained as it is asked for.

    Args:
        args: The arguments.
        optimizer: An optimizer that was passed in.
        model: The model, where it will be trained.

    Raises:
        ValueError: If the optimizer holds none of the model's parameters, the encoder cannot forget activations, or an
            argument by encoder does not fit the model's.
    """
    frozen: Any = args.frozen_layers
    model._layers_by_encoder(frozen, "frozen_layers")
    for name in ("encoder_layer_decay", "trunk_learning_rate"):
        by_encoder(name, getattr(args, name), model.encoders, None)
    if args.activation_checkpointing and not model.supports_gradient_checkpointing:
        raise UserError(
            f"activation_checkpointing=True is not supported: encoders of the family "
            f"{model.encoder.config.model_type!r} do not support it. Leave it out, and lower "
            "per_device_train_batch_size where memory is short."
        )
    if optimizer is None:
        return
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in model.parameters()):
        raise UserError(
            "The optimizer holds none of the model's parameters, so nothing would be trained. Build it from "
            "model.parameters(), of the model that is passed in and on its device."
        )


def metrics_by_task(metrics: Mapping[str, Any] | None) -> dict[str, Sequence[Metric]]:
    """Return each task's metrics as a list; one metric alone may be given without.

    Raises:
        TypeError: If they are not given by task.
        ValueError: If a task has none.
    """
    if metrics is not None and not isinstance(metrics, Mapping):
        kind = type(metrics).__name__
        raise UserTypeError(f"metrics must be a mapping such as {{'task': ['accuracy']}}, found {kind}.")
    found: dict[str, Sequence[Metric]] = {}
    for task, given in (metrics or {}).items():
        is_one = isinstance(given, (str, evaluate.EvaluationModule)) or callable(given)
        if not is_one and not isinstance(given, (list, tuple)):
            raise UserTypeError(f"metrics of task {task!r} must be a list such as ['accuracy'], found {given!r}.")
        found[task] = [given] if is_one else list(given)
        if not found[task]:
            raise UserError(f"metrics of task {task!r} is empty. Name one, or leave the task out to keep its own.")
        for metric in found[task]:
            if not isinstance(metric, (str, evaluate.EvaluationModule)) and not callable(metric):
                raise UserTypeError(
                    f"metrics of task {task!r}: {metric!r} is no metric. Give names, modules of evaluate, or functions "
                    "of predictions and references."
                )
    return found


def no_collator(rows: Any) -> Any:
    """Serve until the model is known; Trainer's own default would be wrong for rows."""
    raise RuntimeError("The collator is set once the model is known.")
