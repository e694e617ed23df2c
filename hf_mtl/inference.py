"""Run a trained model over rows: one encoder pass a batch, every task's logits for the rows that ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl._names import listed
from hf_mtl.data import MultiTaskCollator, Row, longest_input
from hf_mtl.modeling import MultiTaskModel
from hf_mtl.words import WordMap

__all__ = ["EncodedRows", "RowsCollator", "as_row", "make_collator", "predict"]


@dataclass(frozen=True)
class EncodedRows:
    """A batch for inference.

    Args:
        rows: The rows.
        words: What became of each row's words.
        inputs: The encoder's inputs, each [B, L].
        labels: Labels by task, as training takes them.
        numbers: For each task the rows that have a label of it.
    """

    rows: Sequence[Row]
    words: Sequence[WordMap]
    inputs: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    numbers: dict[str, torch.Tensor]


class RowsCollator:
    """Collates rows into `EncodedRows`: what a `DataLoader` needs to hand rows and tensors on together."""

    def __init__(self, collator: MultiTaskCollator) -> None:
        self.collator = collator

    def __call__(self, rows: Sequence[Row]) -> EncodedRows:
        """Return the rows, their tensors and their words."""
        inputs, words = self.collator.encode(rows)
        labels, numbers = self.collator.encode_labels(rows, words)
        return EncodedRows(rows, words, inputs, labels, numbers)


def make_collator(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None = None, **kwargs: Any
) -> MultiTaskCollator:
    """Return the collator that fits a model: its tasks, its heads, and no more tokens than it has positions.

    Raises:
        ValueError: If ``max_length`` is more than the model or the tokenizer takes.
    """
    longest = longest_input(tokenizer, model.config.encoder_config)
    if max_length is not None and not 3 <= max_length <= longest:
        raise ValueError(f"max_length must lie between 3 and {longest}, the most this model takes; found {max_length}.")
    heads = {name: type(head) for name, head in model.task_heads.items()}
    return MultiTaskCollator(tokenizer, model.tasks, heads, max_length or longest, **kwargs)


def as_row(values: Mapping[str, Any], number: int, source: str = "input") -> Row:
    """Read one row for prediction: ``text``, ``text`` and ``text_pair``, or ``tokens``.

    Raises:
        ValueError: If no input is there or it has the wrong type; the message names the row.
    """
    words, text, pair = (values.get(name) for name in ("tokens", "text", "text_pair"))
    if words is not None:
        good = isinstance(words, list) and all(isinstance(word, str) for word in words) and pair is None
    else:
        good = isinstance(text, str) and (pair is None or isinstance(pair, str))
    if not good:
        raise ValueError(
            f"{source}, row {number}: expected 'text' (a string), 'text' and 'text_pair', or 'tokens' (a list of "
            f"strings); found the fields {listed(values)}."
        )
    read: str | list[str] = values["text"] if words is None else words
    return Row(source, number, read, pair)


def predict(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Iterable[str | Mapping[str, Any] | Row],
    *,
    tasks: Sequence[str] | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Answer every task for every row, in the order of the rows.

    Args:
        model: The model; it is put into evaluation mode.
        tokenizer: Its tokenizer.
        rows: Texts, or mappings with ``text``, ``text`` and ``text_pair``, or ``tokens``. Read as they are needed.
        tasks: Names of the tasks to answer; ``None`` answers all.
        batch_size: Rows of one encoder pass.
        max_length: The most tokens of a row; ``None`` is the most the model takes.

    Yields:
        For each row one answer by task, of plain Python values.

    Raises:
        ValueError: If a row has no input, or a task is unknown.
    """
    collator = make_collator(model, tokenizer, max_length)
    names = list(model.task_heads) if tasks is None else list(tasks)
    for name in names:
        model.config.task(name)
    model.eval()
    numbered = enumerate(rows)
    while batch := list(islice(numbered, batch_size)):
        read = [_row(value, number) for number, value in batch]
        inputs, words = collator.encode(read)
        with torch.inference_mode():
            output = model(**{name: value.to(model.device) for name, value in inputs.items()}, tasks=names)
        answers = {name: model.task_heads[name].answers(output.logits[name], words) for name in names}
        for i in range(len(read)):
            yield {name: answers[name][i] for name in names}


def _row(value: str | Mapping[str, Any] | Row, number: int) -> Row:
    if isinstance(value, Row):
        return value
    return as_row({"text": value} if isinstance(value, str) else value, number)
