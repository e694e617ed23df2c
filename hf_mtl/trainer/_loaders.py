"""Loaders of batches that are a rank's own already."""

from __future__ import annotations

from typing import Any

from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from hf_mtl.trainer._arguments import MultiTaskTrainingArguments

__all__ = ["make_loader"]


def make_loader(
    args: MultiTaskTrainingArguments, dataset: Any, batch_sampler: Any, collate: Any, **kwargs: Any
) -> DataLoader[Any]:
    """Return a loader by the training arguments.

    Args:
        args: The training arguments: workers, pinned memory, device.
        dataset: Gives the rows of a batch by their numbers.
        batch_sampler: Yields the numbers of each batch of this rank.
        collate: Turns rows into a batch.
        kwargs: Further arguments of ``DataLoader``.
    """
    accelerator_config: Any = args.accelerator_config  # made from what was given, mapping or file
    loader = DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        collate_fn=collate,
        num_workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
        persistent_workers=args.dataloader_persistent_workers,
        multiprocessing_context=args.dataloader_multiprocessing_context,
        prefetch_factor=args.dataloader_prefetch_factor,
        in_order=args.dataloader_in_order,
        **kwargs,
    )
    # The batches are this rank's own already: accelerate is shown one process, or it would share
    # them out once more.
    prepared: DataLoader[Any] = prepare_data_loader(
        loader,
        device=args.device,
        num_processes=1,
        process_index=0,
        put_on_device=True,
        non_blocking=accelerator_config.non_blocking,
    )
    return prepared
