"""A place on a scale of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions, best_first
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, softmax
from hf_mtl_light.words import WordMap

__all__ = ["ScaleAnswers"]


class ScaleAnswers(Answers):
    """``label``, ``score`` of that label, ``scores`` of all labels, and ``polarity`` in [-1, 1].

    The polarity is the expected position on the scale, where -1 is the first label and 1 the last.
    """

    options = frozenset({"top_k"})

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return label, score, scores and polarity a row; with ``top_k`` the scores of so many labels, best first."""
        labels = task.labels
        options = options or AnswerOptions()
        probabilities = softmax(calibrated(logits, task.temperature))
        best = logits.argmax(-1).tolist()
        polarities = (probabilities @ np.linspace(-1, 1, len(labels), dtype=probabilities.dtype)).tolist()
        rows = []
        for scores, index, polarity in zip(probabilities.tolist(), best, polarities, strict=True):
            named = dict(zip(labels, scores, strict=True))
            if options.top_k is not None:
                named = {answer["label"]: answer["score"] for answer in best_first(labels, scores, options)}
            rows.append({"label": labels[index], "score": scores[index], "scores": named, "polarity": polarity})
        return rows

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return the fields of an answer; of ``scores`` one for each label, empty where it is not among the best."""
        return {"label": str, "score": float, "scores": dict.fromkeys(task.labels, float), "polarity": float}
