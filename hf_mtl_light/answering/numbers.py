"""A number, or several by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.words import WordMap

__all__ = ["NumberAnswers"]


class NumberAnswers(Answers):
    """``{"value"}``; of several numbers ``{"values": {name: number}}``."""

    @classmethod
    def values(cls, task: TaskDescription, logits: np.ndarray) -> np.ndarray:
        """Return the numbers in the labels' own unit, [R, C] float64."""
        values: np.ndarray = logits.astype(np.float64) * np.array(task.std) + np.array(task.mean)
        return values

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the number or the numbers of each row."""
        rows = cls.values(task, logits).tolist()
        if not task.labels:
            return [{"value": row[0]} for row in rows]
        return [{"values": dict(zip(task.labels, row, strict=True))} for row in rows]

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return a number under ``value``, or one for each name under ``values``."""
        return {"values": dict.fromkeys(task.labels, float)} if task.labels else {"value": float}
