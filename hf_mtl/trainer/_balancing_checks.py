"""Whether a balancer fits how batches are made and how gradients are computed: said before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hf_mtl._names import listed
from hf_mtl.balancers import Balancer, GradientBalancer
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl_light.errors import UserError

__all__ = ["check_balancing"]


def check_balancing(
    balancer: Balancer, args: MultiTaskTrainingArguments, labelled: Mapping[str, Sequence[str]], is_sharded: bool
) -> None:
    """Refuse what a balancer cannot serve.

    Args:
        balancer: The balancer.
        args: The training arguments.
        labelled: The tasks that each training dataset labels.
        is_sharded: Whether parameters are spread over devices: FSDP, DeepSpeed, tensor parallelism.

    Raises:
        ValueError: If steps would lack tasks that the method needs, or the gradient of one task cannot be taken.
    """
    name = args.balancing if type(balancer).__module__.startswith("hf_mtl.") else type(balancer).__name__
    all_tasks = {task for tasks in labelled.values() for task in tasks}
    lacking = [dataset for dataset, tasks in labelled.items() if set(tasks) != all_tasks]
    if balancer.requires_all_tasks and lacking and args.batching == "homogeneous":
        raise UserError(
            f"Balancing {name!r} needs rows of all tasks in each step, but batching='homogeneous' fills a step with "
            f"rows of one dataset, and {listed(lacking)} label only some of the tasks {listed(sorted(all_tasks))}. Set "
            "batching='mixed', or choose a method that works with one dataset a step: 'fixed', 'equal', "
            "'uncertainty', 'dwa' or 'random'."
        )
    is_gradient = isinstance(balancer, GradientBalancer)
    wanted = f"Balancing {name!r}" if is_gradient else "gradient_cosine_steps"
    if is_gradient or args.gradient_cosine_steps:
        if is_sharded:
            raise UserError(
                f"{wanted} takes each task's gradient of the whole encoder, which FSDP, DeepSpeed and tensor "
                "parallelism spread over devices. Train with data parallelism alone, or without it."
            )
        if args.torch_compile:
            raise UserError(
                f"{wanted} runs backward once for each task over one graph, which torch_compile gives away after the "
                "first. Set torch_compile=False."
            )
    if isinstance(balancer, GradientBalancer):
        if args.fp16:
            raise UserError(
                f"Balancing {name!r} takes gradients without the scaling that fp16 needs. Set bf16=True, or "
                "precision='float32'."
            )
        subsets = balancer.independent_subsets
        if args.gradient_accumulation_steps < subsets:
            raise UserError(
                f"Aggregator {balancer.recipe.name!r} compares gradients of {subsets} independent parts of a step. Set "
                f"gradient_accumulation_steps to at least {subsets}, found {args.gradient_accumulation_steps}."
            )
