"""One label of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions, add_sets, best_first
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import calibrated, softmax
from hf_mtl_light.words import WordMap

__all__ = ["LabelAnswers"]


class LabelAnswers(Answers):
    """``{"label", "score"}``; with ``top_k`` a list of them, best first; with ``coverage`` also a ``set`` of them."""

    options = frozenset({"top_k", "coverage"})

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the likeliest label and its probability a row, or as many labels as are asked for."""
        labels = task.labels
        options = options or AnswerOptions()
        probabilities = softmax(calibrated(logits, task.temperature))
        if options.top_k is not None:
            return [best_first(labels, scores, options) for scores in probabilities.tolist()]
        best = logits.argmax(-1).tolist()
        rows: list[dict[str, Any]] = [
            {"label": labels[index], "score": scores[index]}
            for index, scores in zip(best, probabilities.tolist(), strict=True)
        ]
        add_sets(rows, task, probabilities, options)
        return rows

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return ``label`` and ``score``, or a list of them; with ``coverage`` both."""
        fields: dict[str, Any] = {"label": str, "score": float}
        if options is not None and options.coverage is not None:
            return {**fields, "set": [fields]}
        return fields if options is None or options.top_k is None else [fields]
