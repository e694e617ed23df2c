"""A model run once over labelled rows, for what is found out after training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch

from hf_mtl.data import LabelledDataset
from hf_mtl.inference import InferenceBatch
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._labelled_outputs import LabelledOutputs

__all__ = ["labelled_parts", "read_outputs"]

Found = TypeVar("Found")


def labelled_parts(parts: Mapping[str, LabelledDataset], names: Collection[str]) -> dict[str, LabelledDataset]:
    """Return the datasets that label one of some tasks."""
    return {name: part for name, part in parts.items() if any(task in names for task in part.tasks)}


def read_outputs(
    trainer: EvaluatingTrainer,
    parts: Mapping[str, LabelledDataset],
    names: Sequence[str],
    read: Callable[[LabelledOutputs], Found],
) -> Iterator[tuple[str, Found]]:
    """Run the model once over labelled rows, and yield what is read of each task's outputs in each batch.

    Args:
        trainer: The trainer.
        parts: The datasets.
        names: The tasks.
        read: Takes from outputs what is to be kept; nothing else is. All ranks see what each of them read.

    Yields:
        The task's name, and what was read.
    """
    wanted = labelled_parts(parts, names)
    for batch in trainer._batches(wanted, answers=False) if wanted else ():
        outputs = {} if batch is None else _outputs(trainer, batch, names)
        yield from trainer._gather([(name, read(output)) for name, output in outputs.items()])


def _outputs(trainer: EvaluatingTrainer, batch: InferenceBatch, names: Sequence[str]) -> dict[str, LabelledOutputs]:
    heads = trainer._plain_model.task_heads
    numbers = {name: batch.numbers[name] for name in names if name in batch.numbers}
    if not numbers:
        return {}
    inputs: dict[str, Any] = trainer._prepare_inputs({**batch.batch.inputs, "rows": numbers})
    with torch.no_grad(), trainer.accelerator.autocast():
        tokens = trainer._masked_tokens(batch, inputs, {name: batch.labels[name] for name in numbers}, answer=False)
        logits = trainer._plain_model(**inputs, tokens=tokens).logits
    found = {}
    for name in numbers:
        rows = batch.labelled(name)
        words = [batch.batch.words[heads[name].reads][i] for i in rows]
        found[name] = LabelledOutputs(
            heads[name], [batch.rows[i] for i in rows], words, logits[name], batch.labels[name]
        )
    return found
