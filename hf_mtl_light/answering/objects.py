"""The objects of a picture, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_mtl_light.answering._base import Answers
from hf_mtl_light.answering._options import AnswerOptions, threshold_of
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.numerics import sigmoid
from hf_mtl_light.words import WordMap

__all__ = ["FIRST_LABEL", "ObjectAnswers", "keep_best"]

#: Columns of the logits: the box as fractions of the picture, the centre of its place, and from here on the labels.
_BOX, FIRST_LABEL = slice(0, 4), 6
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class ObjectAnswers(Answers):
    """A list of ``{"label", "score", "box": {"xmin", "ymin", "xmax", "ymax"}}``, best first, as Transformers has it.

    Boxes are in whole pixels of the picture as it is given, seen upright. Logits are [R, P, 6 + C] of P places.
    """

    reads = "image"
    options = frozenset({"top_k", "thresholds"})

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return the objects of each row whose score is at least their threshold."""
        options = options or AnswerOptions()
        most = options.top_k if isinstance(options.top_k, int) else None
        found = []
        for boxes, scores, labels in cls.found(task, logits, words, threshold_of(task, options)):
            rounded = np.rint(boxes).astype(int).tolist()
            objects = [
                {"label": task.labels[label], "score": score, "box": dict(zip(_SIDES, box, strict=True))}
                for box, score, label in zip(rounded, scores.tolist(), labels.tolist(), strict=True)
            ]
            found.append(objects[:most])
        return found

    @classmethod
    def found(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], least: Sequence[float]
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Return the boxes of each row in pixels of its picture, their scores and the numbers of their labels.

        Args:
            task: The task.
            logits: [R, P, 6 + C].
            words: What is known of each row: the size of its picture.
            least: Of each label the score below which it is not answered.
        """
        rows = []
        for picture, word_map in zip(logits, words, strict=True):
            assert word_map.picture_size is not None, "pictures are read with their size"
            size = np.array(word_map.picture_size * 2, dtype=np.float64)
            boxes = picture[:, _BOX].astype(np.float64).clip(0, 1) * size
            scores = sigmoid(picture[:, FIRST_LABEL:].astype(np.float64))
            rows.append(keep_best(boxes, scores, least, task.nms_threshold, task.max_boxes))
        return rows

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return a list of ``label``, ``score`` and ``box``."""
        return [{"label": str, "score": float, "box": dict.fromkeys(_SIDES, int)}]


def keep_best(
    boxes: np.ndarray, scores: np.ndarray, least: Sequence[float], overlap: float, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the boxes to keep, best first: non-maximum suppression for each label by itself.

    Args:
        boxes: [P, 4]: left, top, right and bottom.
        scores: [P, C].
        least: C scores, below which a label is not answered.
        overlap: Of two boxes of a label with more intersection over union than this the better one is kept.
        most: How many are kept.

    Returns:
        [K, 4] boxes, [K] scores and [K] numbers of labels.
    """
    found: list[tuple[float, int, int]] = []
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for label in range(scores.shape[1]):
        own = scores[:, label]
        # No more than these can be kept; stable, so that of equal scores the first comes first.
        order = np.argsort(-own, kind="stable")
        order = order[own[order] >= least[label]][: 10 * most]
        kept = 0
        while len(order) and kept < most:
            best, order = order[0], order[1:]
            found.append((float(own[best]), label, int(best)))
            kept += 1
            corners = np.minimum(boxes[order, 2:], boxes[best, 2:]) - np.maximum(boxes[order, :2], boxes[best, :2])
            shared = corners.clip(min=0).prod(1)
            order = order[shared <= overlap * (area[order] + area[best] - shared)]
    chosen = sorted(found, key=lambda item: -item[0])[:most]
    places = [place for _, _, place in chosen]
    return boxes[places], np.array([score for score, _, _ in chosen]), np.array([n for _, n, _ in chosen], dtype=int)
