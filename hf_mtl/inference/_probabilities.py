"""The probabilities of all labels, not only those that an answer names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.heads import Head
from hf_mtl.inference._predict import make_answerer
from hf_mtl.model import MultiTaskModel
from hf_mtl_light.answering import NumberAnswers
from hf_mtl_light.encoding import as_row
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import LOOK_AHEAD
from hf_mtl_light.numerics import calibrated, sigmoid, softmax
from hf_mtl_light.tags import WordRuns
from hf_mtl_light.words import WordMap

__all__ = ["gives_probabilities", "probabilities"]

#: What ``TaskDescription.answers`` says -> how logits [R, C] become numbers.
_NUMBERS = {
    "label": lambda task, logits: softmax(logits),
    "scale": lambda task, logits: softmax(logits),
    "labels": lambda task, logits: sigmoid(logits),
    "numbers": lambda task, logits: NumberAnswers.values(task, logits),
}


def gives_probabilities(head: Head | type[Head]) -> bool:
    """Return whether answers are a number for each of the task's labels: not spans, boxes, or words of a gap."""
    return head.level != "mask" and head.reads != "context" and not head.labels_objects


def probabilities(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase | None,
    rows: Iterable[Any],
    *,
    tasks: Sequence[str] | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    precision: str = "float32",
    image_processor: Any = None,
) -> Iterator[dict[str, list[list[float] | None] | None]]:
    """Return the probability of each label of each task, for every row.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer; ``None`` where tasks of pictures alone are asked.
        rows: Rows in any form that `hf_mtl.predict` takes; read as they are needed.
        tasks: Names of the tasks; ``None``: all that have probabilities: not spans, boxes or masked tokens.
        max_length: The most tokens of a window; ``None`` is the most the model takes.
        stride: Tokens that the windows of a long row share; ``None`` cuts off what does not fit into one.
        precision: See `hf_mtl.predict`.
        image_processor: See `hf_mtl.predict`.

    Yields:
        For each row and task a list of lists. Of a task with one answer a row it has one list: the probability of each
        label, in the order of ``TaskConfig.labels``; of several labels each by itself; of choices one for each; of
        numbers the numbers, in the labels' own unit. Of tags it has one list a word, ``None`` for a word that was not
        read. ``None`` where the row lacks the task's input.

    Raises:
        ValueError: If a task is unknown or has no probabilities, or a row has no input.

    >>> from hf_mtl import MultiTaskModel, TaskConfig
    >>> task = TaskConfig("mood", "sequence-classification", labels=["bad", "good"])
    >>> model = MultiTaskModel.from_encoder(encoder, [task])  # a Hub id or a folder; it was not trained
    >>> [found] = probabilities(model, tokenizer, ["a good film"])
    >>> len(found["mood"][0]), round(sum(found["mood"][0]), 5)
    (2, 1.0)
    """
    heads = model.task_heads
    names = [name for name in heads if gives_probabilities(heads[name])] if tasks is None else list(tasks)
    without = [name for name in names if name in heads and not gives_probabilities(heads[name])]
    if without or not names:
        raise UserError(f"{listed(without) or 'The model'} has no probabilities of labels. Ask for other tasks.")
    answerer = make_answerer(
        model,
        tokenizer,
        tasks=names,
        max_length=max_length,
        stride=stride,
        precision=precision,
        image_processor=image_processor,
    )
    numbered = enumerate(rows)
    while chunk := [as_row(value, number, "input") for number, value in islice(numbered, LOOK_AHEAD)]:
        found: list[dict[str, Any]] = [dict.fromkeys(names) for _ in chunk]
        for places, encoded, logits in answerer.logits(chunk):
            words = [row.words for row in encoded]
            for name, values in logits.items():
                for place, own in zip(places, _of_rows(heads[name], values, words), strict=True):
                    found[place][name] = own
        yield from found


def _of_rows(head: Any, logits: np.ndarray, words: Sequence[WordMap]) -> list[list[list[float] | None]]:
    """Return a list of lists for each row."""
    logits = calibrated(logits, head.task.calibration_temperature or 1.0)
    if head.needs_words:
        runs = WordRuns.of(words)
        of_words = logits[np.array(runs.tokens, dtype=np.int64)]
        scores = head.decoder().probabilities(of_words, np.array(runs.lengths, dtype=np.int64))
        return runs.in_rows(scores.tolist(), None)
    if head.reads == "choices":
        ends = np.cumsum([len(word_map.choices) for word_map in words])[:-1]
        return [[softmax(of_row).tolist()] for of_row in np.split(logits[:, 0], ends)]
    described = head.describe(head.task)
    if described is None or described.answers not in _NUMBERS:
        raise UserError(f"Task {head.task.name!r}: {type(head).__name__} does not say what its probabilities are.")
    return [[row] for row in _NUMBERS[described.answers](described, logits).tolist()]
