"""How datasets are drawn and tasks balanced: what was passed in, or what the arguments say; and what else is done."""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl._options import described, name_in
from hf_mtl.arguments import make_average
from hf_mtl.augmentation import make_augmentations
from hf_mtl.balancers import BALANCERS, Balancer
from hf_mtl.data import LabelledDataset
from hf_mtl.samplers import SAMPLERS, DatasetSampler
from hf_mtl.samplers.plan import SamplingRules
from hf_mtl.trainer._adaptive import check_adaptive
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._balancing_checks import check_balancing
from hf_mtl.trainer._methods import refuse_sharded
from hf_mtl.training_methods import make_methods

__all__ = ["choose_strategies", "describe_strategies"]


def choose_strategies(
    args: MultiTaskTrainingArguments,
    passed: tuple[DatasetSampler | None, Balancer | None],
    datasets: Mapping[str, LabelledDataset],
    is_sharded: bool,
) -> tuple[DatasetSampler, SamplingRules, Balancer]:
    """Return sampler, the rules around it, and balancer, checked against the training.

    Args:
        args: The training arguments; a search changes them.
        passed: The sampler and the balancer that were passed in, which take precedence.
        datasets: The training datasets.
        is_sharded: Whether parameters are spread over devices.

    Raises:
        ValueError: If one does not fit how batches are made or gradients are computed.
    """
    sampler, balancer = passed
    if is_sharded:
        refuse_sharded(args)
    made, rules = args.make_sampler()
    sampler, balancer = sampler or made, balancer or args.make_balancer()
    check_adaptive(sampler, args)
    tasks_of = {name: list(dataset.tasks) for name, dataset in datasets.items()}
    check_balancing(balancer, args, tasks_of, is_sharded)
    return sampler, rules, balancer


def describe_strategies(
    sampler: DatasetSampler, rules: SamplingRules, balancer: Balancer, args: MultiTaskTrainingArguments
) -> dict[str, str]:
    """Return what a training does besides the usual, each by name with all its options, for cards, logs and reports.

    Args:
        sampler: How datasets are drawn.
        rules: The rules around it.
        balancer: How tasks are balanced.
        args: The training arguments, for methods, augmentation and averages, which are left out where there are none.
    """
    methods = [described(name, method.options()) for name, method in make_methods(args.methods).items()]
    found = {
        "sampler": described(name_in(SAMPLERS, sampler), {**sampler.options(), **rules.options()}),
        "balancer": described(name_in(BALANCERS, balancer), balancer.options()),
        **({"methods": ", ".join(methods)} if methods else {}),
    }
    if augmentations := make_augmentations(args.augmentation):
        found["augmentation"] = "; ".join(
            described(name, {key: value for key, value in made.options().items() if value is not None})
            for name, made in augmentations.items()
        )
    if (average := make_average(args.average)) is not None:
        found["average"] = described(average.kind, average.options())
    return found
