"""A model run once over labelled rows, for what is found out after training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from transformers import ProgressCallback, Trainer

from hf_mtl.data import LabelledDataset
from hf_mtl.inference import InferenceBatch
from hf_mtl.trainer._batch_judge import masked_tokens
from hf_mtl.trainer._labelled_outputs import LabelledOutputs
from hf_mtl.trainer._row_reader import RowReader

__all__ = ["joined_outputs", "read_outputs"]

Found = TypeVar("Found")


def read_outputs(
    trainer: Trainer,
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
    wanted = {name: dataset for name, dataset in datasets.items() if any(task in names for task in dataset.tasks)}
    reader = RowReader(trainer)
    try:
        for batch in reader.batches(wanted, answers=False) if wanted else ():
            outputs = {} if batch is None else _outputs(trainer, reader, batch, names)
            yield from reader.gather([(name, read(output)) for name, output in outputs.items()])
    finally:
        for callback in trainer.callback_handler.callbacks:
            # It is an evaluation's end that closes its bar, and this is none.
            if isinstance(callback, ProgressCallback) and callback.prediction_bar is not None:
                callback.prediction_bar.close()
                callback.prediction_bar = None


def joined_outputs(
    trainer: Trainer,
    datasets: Mapping[str, LabelledDataset],
    names: Sequence[str],
    read: Callable[[LabelledOutputs], Sequence[np.ndarray]],
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return what is read of each task's outputs over all rows, for the tasks that some row labels, in their order.

    Args:
        trainer: The trainer.
        datasets: The datasets.
        names: The tasks.
        read: See `read_outputs`: arrays, whose first axis is joined over the batches.
    """
    found: dict[str, list[Sequence[np.ndarray]]] = {}
    for name, columns in read_outputs(trainer, datasets, names, read):
        found.setdefault(name, []).append(columns)
    return {name: tuple(map(np.concatenate, zip(*found[name], strict=True))) for name in names if name in found}


def _outputs(
    trainer: Trainer, reader: RowReader, batch: InferenceBatch, names: Sequence[str]
) -> dict[str, LabelledOutputs]:
    heads = reader.model.task_heads
    numbers = {name: batch.numbers[name] for name in names if name in batch.numbers}
    if not numbers:
        return {}
    inputs: dict[str, Any] = trainer._prepare_inputs({**batch.batch.inputs, "rows": numbers})
    with torch.no_grad(), trainer.accelerator.autocast():
        labels = {name: batch.labels[name] for name in numbers}
        tokens = masked_tokens(reader.model, reader.collator, batch, inputs, labels, answer=False)
        logits = reader.model(**inputs, tokens=tokens, return_states=False).logits
    found = {}
    for name in numbers:
        rows = batch.labelled(name)
        words = [batch.batch.words[heads[name].reads][i] for i in rows]
        found[name] = LabelledOutputs(
            heads[name], [batch.rows[i] for i in rows], words, logits[name], batch.labels[name]
        )
    return found
