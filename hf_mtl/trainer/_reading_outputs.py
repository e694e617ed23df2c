"""A model run once over labelled rows, for what is found out after training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from transformers import ProgressCallback

from hf_mtl.data import LabelledDataset
from hf_mtl.inference import InferenceBatch
from hf_mtl.trainer._batch_judge import masked_tokens
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._labelled_outputs import LabelledOutputs

__all__ = ["labelled_datasets", "read_outputs"]

Found = TypeVar("Found")


def labelled_datasets(datasets: Mapping[str, LabelledDataset], names: Collection[str]) -> dict[str, LabelledDataset]:
    """Return the datasets that label one of some tasks."""
    return {name: dataset for name, dataset in datasets.items() if any(task in names for task in dataset.tasks)}


def read_outputs(
    trainer: EvaluatingTrainer,
    datasets: Mapping[str, LabelledDataset],
    names: Sequence[str],
    read: Callable[[LabelledOutputs], Found],
) -> Iterator[tuple[str, Found]]:
    """Run the model once over labelled rows, and yield what is read of each task's outputs in each batch.

    Args:
        trainer: The trainer.
        datasets: The datasets.
        names: The tasks.
        read: Takes from outputs what is to be kept; nothing else is. All ranks see what each of them read.

    Yields:
        The task's name, and what was read.
    """
    wanted = labelled_datasets(datasets, names)
    try:
        for batch in trainer._batches(wanted, answers=False) if wanted else ():
            outputs = {} if batch is None else _outputs(trainer, batch, names)
            yield from trainer._gather([(name, read(output)) for name, output in outputs.items()])
    finally:
        for callback in trainer.callback_handler.callbacks:
            # It is an evaluation's end that closes its bar, and this is none.
            if isinstance(callback, ProgressCallback) and callback.prediction_bar is not None:
                callback.prediction_bar.close()
                callback.prediction_bar = None


def _outputs(trainer: EvaluatingTrainer, batch: InferenceBatch, names: Sequence[str]) -> dict[str, LabelledOutputs]:
    heads = trainer._plain_model.task_heads
    numbers = {name: batch.numbers[name] for name in names if name in batch.numbers}
    if not numbers:
        return {}
    inputs: dict[str, Any] = trainer._prepare_inputs({**batch.batch.inputs, "rows": numbers})
    with torch.no_grad(), trainer.accelerator.autocast():
        labels = {name: batch.labels[name] for name in numbers}
        tokens = masked_tokens(trainer._plain_model, trainer.data_collator, batch, inputs, labels, answer=False)
        logits = trainer._plain_model(**inputs, tokens=tokens, return_states=False).logits
    found = {}
    for name in numbers:
        rows = batch.labelled(name)
        words = [batch.batch.words[heads[name].reads][i] for i in rows]
        found[name] = LabelledOutputs(
            heads[name], [batch.rows[i] for i in rows], words, logits[name], batch.labels[name]
        )
    return found
