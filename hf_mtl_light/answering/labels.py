"""Any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions, best_first, threshold_of
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, sigmoid
from hf_mtl_light.words import WordMap

__all__ = ["LabelsAnswers"]


class LabelsAnswers(Answers):
    """A list of ``{"label", "score"}``, best first: those whose score is at least their threshold."""

    options = frozenset({"top_k", "thresholds"})

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the labels of each row, each with its own probability."""
        labels = task.labels
        options = options or AnswerOptions()
        thresholds = threshold_of(task, options)
        rows = []
        for scores in sigmoid(calibrated(logits, task.temperature)).tolist():
            above = [(label, s) for label, s, t in zip(labels, scores, thresholds, strict=True) if s >= t]
            rows.append(best_first([label for label, _ in above], [s for _, s in above], options))
        return rows

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return a list of ``label`` and ``score``."""
        return [{"label": str, "score": float}]
