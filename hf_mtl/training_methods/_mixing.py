"""Mixup in one training: which text is mixed into which, and by how much."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_mtl.data import LabelledDataset, MultiTaskCollator
from hf_mtl.encoder import FlatLayout, FlatStates
from hf_mtl.heads import Head, SequenceHead
from hf_mtl.training_methods._base import TrainingMethod
from hf_mtl.training_methods._micro_batch import MicroBatch
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["Mixing", "is_pooled"]


def is_pooled(head: Head) -> bool:
    """Return whether a head answers once a text, by one vector of it."""
    return isinstance(head, SequenceHead) and head.reads == "text"


@dataclass(frozen=True, kw_only=True)
class Mixing(TrainingMethod):
    """Mixup in one training.

    Args:
        pools: For each task the datasets whose rows are mixed in.
        collator: Turns those rows into a batch.
    """

    pools: Mapping[str, Sequence[LabelledDataset]]
    collator: MultiTaskCollator

    def added_losses(self, batch: MicroBatch) -> dict[str, torch.Tensor]:
        """Return what the losses of the mixtures exceed those of the texts by."""
        found = {}
        for name in batch.heads:
            chosen = self._chosen(batch, name)
            if chosen:
                found[name] = self._added(batch, name, *zip(*chosen, strict=True))
        return found

    def _chosen(self, batch: MicroBatch, name: str) -> list[tuple[int, float, Row]]:
        """Return the number, among the task's rows, of each row that is mixed, its factor, and the row mixed in."""
        chosen = []
        ids = batch.inputs["input_ids"]
        mask = batch.inputs.get("attention_mask")
        mask = torch.ones_like(ids) if mask is None else mask
        pool = self.pools[name]
        total = sum(len(dataset) for dataset in pool)
        for number, place in enumerate(batch.inputs["rows"][name].tolist()):
            tokens = ids[place][mask[place] != 0].cpu().numpy().astype(np.int64).tobytes()
            key = f"mixup/{batch.seed}/{batch.step}/{name}/".encode() + tokens
            rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big"))
            factor, drawn = float(rng.beta(self.alpha, self.alpha)), int(rng.integers(total))
            other = _row(pool, drawn)
            if name in other.labels:
                chosen.append((number, factor, replace(other, labels={name: other.labels[name]})))
        return chosen

    def _added(
        self, batch: MicroBatch, name: str, numbers: Sequence[int], factors: Sequence[float], others: Sequence[Row]
    ) -> torch.Tensor:
        head, judged = batch.heads[name], (batch.first.judged or {})[name]
        ids = batch.inputs["input_ids"]
        mixed_in = self.collator(others)
        places = batch.inputs["rows"][name][list(numbers)]
        inputs = self._joined({key: value[places] for key, value in _texts(batch.inputs).items()}, _texts(mixed_in))
        vectors = _vectors(head, batch, {**inputs, "tasks": [name]})
        own, other = vectors[: len(numbers)], vectors[len(numbers) :]
        own_labels = batch.inputs["labels"][name][list(numbers)]
        other_labels = mixed_in["labels"][name].to(ids.device)
        with torch.autocast(ids.device.type, enabled=False):
            share = torch.tensor(factors, dtype=own.dtype, device=own.device)[:, None]
            vector = share * own + (1 - share) * other
            # Texts of one token: whatever the head's pooling is, it finds this vector.
            texts = torch.arange(len(vector) + 1, device=vector.device)
            logits = head(FlatStates(vector, FlatLayout.of_single_tokens(texts)))
            terms = []
            for i, (number, factor) in enumerate(zip(numbers, factors, strict=True)):
                row, plain = slice(i, i + 1), slice(number, number + 1)
                terms += [
                    factor * head.loss_sum(logits[row], own_labels[row]),
                    (1 - factor) * head.loss_sum(logits[row], other_labels[row]),
                    -head.loss_sum(judged.logits[plain], judged.labels[plain]),
                ]
            total = torch.stack(terms).sum()
        return total / batch.num_items[name].to(total)

    def _joined(self, first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return two batches of texts as one, padded on the right."""
        fill = {"input_ids": self.collator.pad_token_id, "token_type_ids": self.collator.tokenizer.pad_token_type_id}
        length = max(first["input_ids"].shape[1], second["input_ids"].shape[1])
        return {
            key: torch.cat(
                [
                    nn.functional.pad(
                        inputs[key].to(value.device), (0, length - inputs[key].shape[1]), value=fill.get(key, 0)
                    )
                    for inputs in (first, second)
                ]
            )
            for key, value in first.items()
        }


def _row(pool: Sequence[LabelledDataset], number: int) -> Row:
    for dataset in pool:
        if number < len(dataset):
            return dataset.read([number])[0]
        number -= len(dataset)
    raise AssertionError("no such row")


def _texts(inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that say its texts."""
    ids = inputs["input_ids"]
    found = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return found | {key: inputs[key] for key in ("attention_mask", "token_type_ids") if inputs.get(key) is not None}


def _vectors(head: Head, batch: MicroBatch, inputs: dict[str, Any]) -> torch.Tensor:
    """Return the vector of each text of a pass that the head's layers read, [R, H]."""
    assert isinstance(head, SequenceHead)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = head.classifier.register_forward_pre_hook(lambda module, given: seen.append((given[0], given[1])))
    try:
        batch.forward(inputs)
    finally:
        hook.remove()
    if not seen:
        raise UserError(
            f"method 'mixup', task {head.task.name!r}: {type(head).__name__} does not call its classifier, so there is "
            "no vector of a text to mix. Name the tasks that the method is for: tasks: [...]."
        )
    states, mask = seen[0]
    if head.pooling is not None:
        return states[:, 0]
    pooling = getattr(head.classifier.stock.config, "classifier_pooling", head.classifier.own_poolings[0])
    if pooling == "mean":
        weights = mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    return states[:, 0]
