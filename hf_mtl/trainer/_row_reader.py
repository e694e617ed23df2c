"""Rows to score or to answer: each rank's batches of them, and what all ranks found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer

from hf_mtl.data import DatasetMixture, LabelledDataset, MultiTaskCollator
from hf_mtl.inference import InferenceBatch, InferenceCollator
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._loaders import make_loader

__all__ = ["RowReader"]


class RowReader:
    """Reads rows for a trainer's model, batch by batch; the ranks share them out and meet after each batch.

    Args:
        trainer: The trainer: its model, arguments, collator and callbacks.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        #: The model without what distributed training wraps around it.
        self.model: MultiTaskModel = trainer.accelerator.unwrap_model(trainer.model)
        self.collator: MultiTaskCollator = trainer.data_collator  # type: ignore[assignment]  # of our trainers
        self._args: MultiTaskTrainingArguments = trainer.args  # type: ignore[assignment]

    def loader(self, datasets: Sequence[LabelledDataset], answers: bool = False) -> DataLoader[Any]:
        """Return the loader of this rank's rows, in their order.

        Args:
            datasets: The datasets.
            answers: Whether rows are to be answered, not only scored.
        """
        mixture = DatasetMixture(datasets)
        size = self._args.per_device_eval_batch_size
        starts = range(self._args.process_index * size, len(mixture), size * self._args.world_size)
        # Ranges, not lists: those would hold a number for every row.
        batches = [range(start, min(start + size, len(mixture))) for start in starts]
        return make_loader(self._args, mixture, batches, InferenceCollator(self.collator, answers))

    def batches(self, datasets: Mapping[str, LabelledDataset], answers: bool) -> Iterator[InferenceBatch | None]:
        """Yield this rank's batches, ``None`` where it has none left: ranks meet after each, so all go as far."""
        trainer, args, model = self._trainer, self._args, self.model
        loader = self.loader(list(datasets.values()), answers)
        trainer.callback_handler.eval_dataloader = loader
        if not trainer.is_in_train and (args.bf16_full_eval or args.fp16_full_eval):
            nn.Module.to(model, dtype=torch.bfloat16 if args.bf16_full_eval else torch.float16)
        was_training = model.training
        model.eval()
        batches = iter(loader)
        for _ in range(self.rounds(datasets)):
            yield next(batches, None)
            trainer.control = trainer.callback_handler.on_prediction_step(args, trainer.state, trainer.control)
        model.train(was_training)

    def rounds(self, datasets: Mapping[str, LabelledDataset]) -> int:
        """Return the batches of the rank that has most of them."""
        rows = sum(len(dataset) for dataset in datasets.values())
        return -(-rows // (self._args.per_device_eval_batch_size * int(self._args.world_size)))

    def gather(self, found: list[Any]) -> list[Any]:
        """Return what all ranks found, in the order of the ranks: decoded predictions, not logits."""
        gathered: list[Any] = gather_object(found) if self._args.world_size > 1 else found
        return gathered
