"""A place on a scale of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions, add_sets, best_first
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, softmax
from hf_mtl_light.words import WordMap

__all__ = ["ScaleAnswers"]


class ScaleAnswers(Answers):
    """``label``, ``score`` of that label, ``scores`` of all labels, and ``polarity`` in [-1, 1].

    The polarity is the expected position on the scale, where -1 is the first label and 1 the last. With ``coverage``
    there is the ``set`` of labels besides, each with its score.
    """

    options = frozenset({"top_k", "coverage"})

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
        rows: list[dict[str, Any]] = []
        for scores, index, polarity in zip(probabilities.tolist(), best, polarities, strict=True):
            named = dict(zip(labels, scores, strict=True))
            if options.top_k is not None:
                named = {answer["label"]: answer["score"] for answer in best_first(labels, scores, options)}
            rows.append({"label": labels[index], "score": scores[index], "scores": named, "polarity": polarity})
        add_sets(rows, task, probabilities, options)
        return rows

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return the fields of an answer; of ``scores`` one for each label, empty where it is not among the best."""
        fields: dict[str, Any] = {
            "label": str,
            "score": float,
            "scores": dict.fromkeys(task.labels, float),
            "polarity": float,
        }
        if options is not None and options.coverage is not None:
            fields["set"] = [{"label": str, "score": float}]
        return fields
