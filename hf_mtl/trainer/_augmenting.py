"""Augmentation in a training: checked when the trainer is built, applied where rows are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from hf_mtl._names import listed, nearest
from hf_mtl.augmentation import Augmentation, Augmenter, make_augmentations
from hf_mtl.data import LabelledDataset
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["check_augmentation", "make_augmenter"]


def check_augmentation(
    args: MultiTaskTrainingArguments, datasets: Mapping[str, LabelledDataset], tokenizer: Any, scheduler: Any
) -> dict[str, Augmentation]:
    """Return the augmentations of a training, checked against its datasets.

    Args:
        args: The training arguments.
        datasets: The training datasets.
        tokenizer: The tokenizer.
        scheduler: A scheduler that was passed in, or ``None``.

    Raises:
        ValueError: If one cannot be applied to a dataset, or its schedule is not known in advance.
    """
    made = make_augmentations(args.augmentation)
    for name, augmentation in made.items():
        for dataset in augmentation.datasets or ():
            if datasets and dataset not in datasets:  # a trainer without training data scores, with any arguments
                raise UserError(
                    f"augmentation {name!r} names {dataset!r}, which is no training dataset."
                    f"{nearest(dataset, datasets)} Datasets: {listed(datasets)}."
                )
        for dataset, data in datasets.items():
            if augmentation.takes(dataset):
                augmentation.check(dataset, data.inputs, data.heads)
        if augmentation.schedule == "learning-rate":
            if scheduler is not None:
                raise UserError(
                    f"augmentation {name!r}: schedule 'learning-rate' needs rates that the arguments give, and a "
                    "scheduler is passed in optimizers=. Use schedule: constant, or lr_scheduler_type."
                )
            _factors(args, 1)
    return {name: augmentation.for_tokenizer(tokenizer) for name, augmentation in made.items()}


def make_augmenter(
    args: MultiTaskTrainingArguments,
    datasets: Mapping[str, LabelledDataset],
    tokenizer: Any,
    epoch_steps: int,
) -> Augmenter | None:
    """Return what changes the rows of a training; ``None``: they stay as they are.

    Args:
        args: The training arguments.
        datasets: The training datasets.
        tokenizer: The tokenizer.
        epoch_steps: Optimizer steps of an epoch.
    """
    augmentations = check_augmentation(args, datasets, tokenizer, None)  # a search may have changed them
    if not augmentations:
        return None
    tagging = {name: [t for t, head in data.heads.items() if head.needs_words] for name, data in datasets.items()}

    def rows(augmentation: Augmentation) -> Iterator[tuple[Row, str]]:
        for name in sorted(datasets):
            if augmentation.takes(name):
                for first in range(0, len(datasets[name]), 1000):
                    for row in datasets[name].read(range(first, min(first + 1000, len(datasets[name])))):
                        yield from ((row, task) for task in tagging[name] if task in row.labels)

    learned = {name: augmentation.learned(rows(augmentation)) for name, augmentation in augmentations.items()}
    steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * epoch_steps)
    follows = any(augmentation.schedule == "learning-rate" for augmentation in learned.values())
    return Augmenter(learned, args.seed_of_rows, tagging, _factors(args, max(steps, 1)) if follows else ())


def _factors(args: MultiTaskTrainingArguments, steps: int) -> list[float]:
    """Return each step's learning rate over the highest."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    scheduler: Any = None
    if kind != "reduce_lr_on_plateau":
        kwargs: Any = args.lr_scheduler_kwargs or {}
        scheduler = get_scheduler(args.lr_scheduler_type, optimizer, args.get_warmup_steps(steps), steps, kwargs)
    if not isinstance(scheduler, LambdaLR):
        raise UserError(
            f"augmentation: schedule 'learning-rate' needs rates that are known in advance, and those of "
            f"lr_scheduler_type={kind!r} are not. Use schedule: constant, or another lr_scheduler_type."
        )
    rates = [float(scheduler.lr_lambdas[0](step)) for step in range(steps)]
    highest = max(rates)
    return [rate / highest if highest > 0 else 0.0 for rate in rates]
