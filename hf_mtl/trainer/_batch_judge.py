"""What an evaluation does with a batch: one pass of the model, then each task's predictions and each row's answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from accelerate import Accelerator

from hf_mtl.data import MultiTaskCollator
from hf_mtl.inference import InferenceBatch, answer_rows
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._divergence import DivergenceError
from hf_mtl.trainer._labelled_outputs import LabelledOutputs

__all__ = ["BatchJudge", "masked_tokens"]


class BatchJudge:
    """Runs a model on batches of an evaluation.

    Args:
        model: The model itself.
        collator: What made the batches: its tokenizer and its masks.
        accelerator: Whose process this is.
        prepare: Puts a batch where the model computes.
        wanted: The tasks whose probabilities are scored.
        names_datasets: Whether each scored row is given with its dataset's name.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        collator: MultiTaskCollator,
        accelerator: Accelerator,
        prepare: Callable[[dict[str, Any]], dict[str, Any]],
        wanted: Collection[str],
        names_datasets: bool,
    ) -> None:
        self._model, self._collator, self._accelerator = model, collator, accelerator
        self._prepare, self._wanted, self._names_datasets = prepare, wanted, names_datasets

    def run(self, batch: InferenceBatch, answer: bool) -> tuple[list[Any], list[Any]]:
        """Run the model on a batch.

        Args:
            batch: The rows.
            answer: Whether all rows are answered, or the heads see labelled rows alone.

        Returns:
            For each task that labels rows what `TaskScorer.add` takes, after the task's name; and for each row its
            dataset's name and its answers.
        """
        heads = self._model.task_heads
        encoded = batch.batch
        inputs: dict[str, Any] = self._prepare({**encoded.inputs, "rows": batch.numbers, "labels": batch.labels})
        all_labels = inputs.pop("labels")
        numbers = inputs.pop("rows") if answer else None
        scored, answered = [], []
        with torch.no_grad(), self._accelerator.autocast():
            tokens = masked_tokens(self._model, self._collator, batch, inputs, all_labels, answer=answer)
            all_logits = self._model(**inputs, tokens=tokens, return_states=False).logits
            for name, labels in all_labels.items():
                head, rows = heads[name], batch.labelled(name)
                logits = all_logits[name] if numbers is None else head.of_rows(all_logits[name], numbers[name])
                if not bool(logits.isfinite().all()):
                    raise DivergenceError(
                        f"Task {name!r}: the model's logits are infinite or not a number, on rows of dataset "
                        f"{batch.rows[rows[0]].dataset!r}. The model diverged: take an earlier checkpoint, or train "
                        "again with a lower learning_rate."
                    )
                words = [encoded.words[head.reads][i] for i in rows]
                found = head.score(logits, labels, words, [batch.rows[i].labels[name] for i in rows])
                datasets = [batch.rows[i].dataset for i in rows] if self._names_datasets else None
                outputs = LabelledOutputs(head, [batch.rows[i] for i in rows], words, logits, labels)
                scored.append((name, *found, datasets, outputs.probabilities() if name in self._wanted else None))
            if answer:
                answered = [
                    (row.dataset, answer)
                    for row, answer in zip(batch.rows, self._answers(batch, all_logits), strict=True)
                ]
        return scored, answered

    def _answers(self, batch: InferenceBatch, all_logits: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
        """Return every row's answers by task, ``None`` where it has no input for the task."""
        heads = self._model.task_heads
        tasks = {name: head.task for name, head in heads.items()}
        kinds = {name: head.answering(self._collator.tokenizer) for name, head in heads.items()}
        answers: list[dict[str, Any]] = [dict.fromkeys(heads) for _ in batch.rows]
        for reading, places in batch.batch.places.items():
            chosen = [place for own in places.values() for place in own]
            logits = {n: heads[n].of_rows(v, chosen) for n, v in all_logits.items() if heads[n].reads == reading}
            # Of tokens those of all rows, one after the other.
            flat = {n: v.flatten(0, 1) if heads[n].level == "token" else v for n, v in logits.items()}
            arrays = {n: v.float().cpu().numpy() for n, v in flat.items()}
            words = [batch.batch.words[reading][i] for i in places]
            if arrays and words:
                rows = [batch.rows[i] for i in places]
                mask_id = None if self._collator.masker is None else self._collator.masker.mask_id
                found = answer_rows(tasks, kinds, arrays, words, rows, mask_id=mask_id)
                for i, answer in zip(places, found, strict=True):
                    answers[i].update(answer)
        return answers


def masked_tokens(
    model: MultiTaskModel,
    collator: MultiTaskCollator,
    batch: InferenceBatch,
    inputs: Mapping[str, torch.Tensor],
    labels: Mapping[str, torch.Tensor],
    *,
    answer: bool,
) -> dict[str, torch.Tensor]:
    """Return the tokens that tasks of masked tokens predict.

    Args:
        model: The model.
        collator: What made the batch.
        batch: The batch.
        inputs: Its tensors, where the model computes.
        labels: Its labels by task.
        answer: Whether the texts' own masks are to be filled; else the tokens that were masked are predicted.
    """
    masker, heads = collator.masker, model.task_heads
    if answer and masker is not None:
        is_mask = inputs["input_ids"].eq(masker.mask_id)
        texts = torch.zeros_like(is_mask)
        texts[[place for own in batch.batch.places["text"].values() for place in own]] = True
        return dict.fromkeys(heads, is_mask & texts)
    wanted = {name: heads[name].tokens_to_score(values) for name, values in labels.items()}
    return {name: tokens for name, tokens in wanted.items() if tokens is not None}
