"""A head that a user might write, by the steps of CONTRIBUTING.md: a number for each word of a text."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from hf_mtl import TaskConfig
from hf_mtl.heads import AnswerOptions, LabelError, TokenHead
from hf_mtl_light.words import WordMap

__all__ = ["WordNumbersHead"]


class WordNumbersHead(TokenHead):
    """Give each word a number, by its first sub-word: how loud it is spoken, how hard it is to read."""

    no_label: ClassVar[float] = math.nan
    needs_words = True
    takes_labels = False
    names_classes = False
    is_regression = True
    answer_phrase = "a number for each word"

    @classmethod
    def default_metrics(cls, task: TaskConfig) -> tuple[tuple[str, ...], str]:
        """Return the correlation over all words, and the error."""
        return ("pearson", "mean_absolute_error"), "pearson"

    @classmethod
    def encode_labels(cls, task: TaskConfig, values: Sequence[Any], words: Sequence[WordMap]) -> torch.Tensor:
        """Return [R, L] float64: the number at each word's first token, NaN elsewhere."""
        rows = []
        for row, (numbers, word_map) in enumerate(zip(values, words, strict=True)):
            if len(numbers) != len(word_map.spans):
                raise LabelError(row, f"{len(numbers)} numbers for {len(word_map.spans)} tokens. Give one each.")
            encoded, previous = [], None
            for word in word_map.word_ids:
                known = word is not None and word != previous and numbers[word] is not None
                encoded.append(float(numbers[word]) if known else cls.no_label)
                previous = word
            rows.append(encoded)
        return torch.tensor(rows, dtype=torch.float64)

    @classmethod
    def reference(cls, task: TaskConfig, value: Any) -> list[float | None]:
        """Return the numbers of the words, null where one has none."""
        for number in value:
            if number is not None and (isinstance(number, (bool, str)) or not math.isfinite(number)):
                raise LabelError(0, f"label {number!r} is not a finite number. Give a number, or null for none.")
        return list(value)

    @classmethod
    def comparable(cls, predictions: Sequence[Any], references: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return the numbers of all words that have one, one after the other."""
        pairs = zip(predictions, references, strict=True)
        both = [(p, r) for row in pairs for p, r in zip(*row, strict=True) if r is not None]
        return [p for p, _ in both], [r for _, r in both]

    def loss_sum(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the squared error summed over the words that have a number."""
        known = self.has_label(labels)
        return (logits[known][:, 0] - labels[known].to(logits)).square().sum()

    def divergence_sum(self, logits_a: torch.Tensor, logits_b: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the squared difference summed over the words that have a number."""
        known = self.has_label(labels)
        return (logits_a[known].float() - logits_b[known].float()).square().sum()

    def predictions(self, logits: torch.Tensor, words: Sequence[WordMap]) -> list[list[float]]:
        """Return the number of each word, 0 for words that were cut off."""
        flat = logits.flatten(0, 1).float().cpu().numpy()
        return [[word["value"] for word in answer] for answer in self.answers(self.task, flat, words)]

    @classmethod
    def answers(
        cls, task: TaskConfig, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return ``{"value", "start", "end"}`` for each word."""
        found, start = [], 0
        for word_map in words:
            values = [0.0] * len(word_map.spans)
            for token, word in reversed(list(enumerate(word_map.word_ids))):
                if word is not None:
                    values[word] = float(logits[start + token, 0])
            spans = zip(values, word_map.spans, strict=True)
            found.append([{"value": value, "start": span[0], "end": span[1]} for value, span in spans])
            start += len(word_map.word_ids)
        return found

    @classmethod
    def answer_fields(cls, task: TaskConfig, options: AnswerOptions | None = None) -> Any:
        """Return what an answer holds."""
        return [{"value": float, "start": int, "end": int}]
