"""An exported graph against the model that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_mtl.data import MultiTaskCollator, Row
from hf_mtl.export._graph import TracedModel
from hf_mtl_light import TaskDescription
from hf_mtl_light.answering import FIRST_LABEL

__all__ = ["Agreement", "batches_of", "compare", "made_up_batches"]

Batch = dict[str, torch.Tensor]
#: The most that a float32 graph's logits may differ from torch's, where they lie in [-1, 1]; else in proportion.
_FLOAT_BOUND = 1e-4


@dataclass
class Agreement:
    """How far a task's answers of the graph are from the model's.

    Args:
        difference: The largest difference of a logit.
        largest: The largest logit.
        decisions: Labels decided: one a text, a token, or a label of a multi-label task; none for a number.
        equal: Those that are the same.
    """

    difference: float = 0.0
    largest: float = 0.0
    decisions: int = 0
    equal: int = 0

    @property
    def share(self) -> float:
        """The share of decisions that are the same, in [0, 1]."""
        return self.equal / self.decisions if self.decisions else 1.0

    @property
    def bound(self) -> float:
        """The most that a logit of a float32 graph may differ."""
        return _FLOAT_BOUND * max(1.0, self.largest)


def made_up_batches(inputs: Sequence[str], vocabulary: int, longest: int, special: Sequence[int]) -> list[Batch]:
    """Return batches of random tokens of several numbers and lengths, single texts and padding among them.

    Args:
        inputs: Names of the model's inputs.
        vocabulary: Number of tokens.
        longest: The most tokens of a row.
        special: Ids of special tokens, which are left out but for the first and the last place of a row.
    """
    generator = torch.Generator().manual_seed(0)
    plain = torch.tensor(sorted(set(range(vocabulary)) - set(special)) or [0])
    batches = []
    for rows, length in ((1, 5), (7, 16), (24, 33), (2, 128)):
        length = min(length, longest)
        ids = plain[torch.randint(len(plain), (rows, length), generator=generator)]
        lengths = torch.randint(min(3, length), length + 1, (rows, 1), generator=generator)
        lengths[0] = length
        mask = (torch.arange(length)[None] < lengths).long()
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        batches.append({name: given[name] for name in inputs})
    return batches


def batches_of(
    collator: MultiTaskCollator, texts: Sequence[Row] | None, inputs: Sequence[str], vocabulary: int
) -> list[Batch]:
    """Return batches of texts, 32 each, or of random tokens where there are none: see `made_up_batches`."""
    if texts is None:
        return made_up_batches(inputs, vocabulary, collator.max_length, collator.tokenizer.all_special_ids)
    encoded = (collator.encode(texts[start : start + 32])[0] for start in range(0, len(texts), 32))
    return [{name: batch[name] for name in inputs} for batch in encoded]


def compare(
    traced: TracedModel, session: Any, tasks: Sequence[TaskDescription], batches: Sequence[Batch]
) -> dict[str, Agreement]:
    """Run model and graph on the same batches.

    Args:
        traced: The model.
        session: An onnxruntime session of the graph.
        tasks: The tasks.
        batches: The inputs, each [B, L], or pixels.
    """
    found = {task.name: Agreement() for task in tasks}
    fed = [node.name for node in session.get_inputs()]
    for batch in batches:
        with torch.inference_mode():
            expected = traced(*batch.values())
        outputs = session.run(traced.tasks, {name: batch[name].numpy() for name in fed})
        for task, mine, theirs in zip(tasks, expected, outputs, strict=True):
            one, two = mine.numpy(), theirs
            if task.level == "token":
                real = batch["attention_mask"].bool().numpy()
                one, two = one[real], two[real]
            agreement = found[task.name]
            # NaN must stay: Python's own max would drop it.
            agreement.difference = float(np.maximum(agreement.difference, np.abs(one - two).max()))
            agreement.largest = max(agreement.largest, float(np.abs(one).max()))
            if task.function == "none":
                continue
            if task.answers == "objects":
                one, two = one[..., FIRST_LABEL:], two[..., FIRST_LABEL:]
            if task.function == "softmax":
                same = one.argmax(-1) == two.argmax(-1)
            else:
                odds = np.array([np.log(threshold / (1 - threshold)) for threshold in task.thresholds])
                odds *= task.temperature
                same = (one >= odds) == (two >= odds)
            agreement.decisions += same.size
            agreement.equal += int(same.sum())
    return found
