"""The logits of labelled rows, batch by batch, for what is found out from them after training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch.nn import functional

from hf_mtl.data import LabelledDataset, Row
from hf_mtl.heads import Head, as_array
from hf_mtl.inference import InferenceBatch
from hf_mtl_light.tags import WordRuns
from hf_mtl_light.words import WordMap

if TYPE_CHECKING:
    from hf_mtl.trainer._evaluation import EvaluatingTrainer

__all__ = ["LabelledOutputs", "labelled_parts", "read_outputs"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class LabelledOutputs:
    """What a model says of the rows of a batch that label a task.

    Args:
        head: The task's head.
        rows: R rows.
        words: What became of each row's words.
        logits: [R, C], or [R, L, C] of tokens.
        labels: What `Head.encode_labels` returned.
    """

    head: Head
    rows: Sequence[Row]
    words: Sequence[WordMap]
    logits: torch.Tensor
    labels: torch.Tensor

    def items(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the items that are judged by themselves: rows, or the words of tagging tasks that have a tag.

        Returns:
            Logits [n, C] float32 or wider; targets [n, C] float32, the probability of each label; and [n] the number
            of each item's row.
        """
        logits, labels = self.logits.detach(), self.labels
        numbers = np.arange(len(self.rows))
        if self.head.level == "token":
            runs = WordRuns.of(self.words)
            places = torch.tensor(runs.tokens, dtype=torch.long, device=logits.device)
            logits, labels = logits.flatten(0, 1)[places], labels.to(logits.device).flatten(0, 1)[places]
            kept = self.head.has_label(labels)
            logits, labels = logits[kept], labels[kept]
            counts = [sum(place is not None for place in places) for places in runs.places]
            numbers = np.repeat(numbers, counts)[kept.cpu().numpy()]
        if not labels.is_floating_point():
            labels = functional.one_hot(labels, logits.shape[-1])
        return as_array(logits), as_array(labels.float()), numbers


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
