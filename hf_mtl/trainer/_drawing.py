"""What a training draws: its batches, and the shares of the datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelCounts, LabelledDataset, MixtureBatchSampler
from hf_mtl.samplers import DatasetSampler
from hf_mtl.samplers.plan import SamplingRules, make_plan
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._summary import training_summary
from hf_mtl_light.errors import UserError

__all__ = ["make_batch_sampler", "rows_of_tasks", "summary_of"]


def make_batch_sampler(
    args: MultiTaskTrainingArguments,
    sampling: tuple[DatasetSampler, SamplingRules],
    datasets: Mapping[str, LabelledDataset],
    batch_size: int,
) -> MixtureBatchSampler:
    """Return what computes the batches of a training.

    Args:
        args: The training arguments.
        sampling: The sampler and the rules around it.
        datasets: The training datasets.
        batch_size: Rows of a batch on one rank.

    Raises:
        ValueError: If the rows do not fill a batch and what fills none is left out.
    """
    sampler, rules = sampling
    sizes = {name: dataset.size for name, dataset in datasets.items()}
    batches = MixtureBatchSampler(
        sizes,
        sampler,
        batch_size=batch_size,
        seed=args.seed_of_rows,
        batching=args.batching,
        accumulation=args.gradient_accumulation_steps,
        skip_last=args.dataloader_drop_last,
        rank=args.process_index,
        world_size=args.world_size,
        rules=rules,
        epochs=args.num_train_epochs,
        max_steps=args.max_steps,
        streams=[name for name, dataset in datasets.items() if dataset.stream is not None],
    )
    if len(batches) == 0:
        raise UserError(
            f"{sum(sizes.values())} training rows do not fill one batch of {batch_size} rows and dataloader_drop_last "
            "leaves it out. Lower per_device_train_batch_size."
        )
    return batches


def rows_of_tasks(datasets: Mapping[str, LabelledDataset], rules: SamplingRules) -> dict[str, int]:
    """Return for each task with training rows how many its datasets have, those that ``max_rows`` leaves.

    Args:
        datasets: The training datasets.
        rules: The sampling's rules.
    """
    rows: dict[str, int] = {}
    for name, size in rules.limited({name: dataset.size for name, dataset in datasets.items()}).items():
        for task in datasets[name].tasks:
            rows[task] = rows.get(task, 0) + size
    return rows


def summary_of(
    args: MultiTaskTrainingArguments,
    sampling: tuple[DatasetSampler, SamplingRules],
    datasets: Mapping[str, LabelledDataset],
    tasks: list[TaskConfig],
    counts: Mapping[str, Mapping[str, LabelCounts]],
) -> list[dict[str, Any]]:
    """Return what `MultiTaskTrainer.summary` says of a training.

    Args:
        args: The training arguments.
        sampling: The sampler and the rules around it.
        datasets: The training datasets.
        tasks: The model's tasks.
        counts: What the rows of each dataset say of each task, where they were checked.
    """
    if not datasets:
        return []
    sampler, rules = sampling
    sizes = {name: dataset.size for name, dataset in datasets.items()}
    plan = make_plan(
        sampler, sizes, args.step_shape, rules=rules, epochs=args.num_train_epochs, max_steps=args.max_steps
    )
    return training_summary(datasets, tasks, plan.first_and_last_shares(), counts)
