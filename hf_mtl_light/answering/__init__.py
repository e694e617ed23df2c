"""Logits to answers, without torch.

`KINDS` is the table of the kinds of answers: a new one is one file and one row here. Which kind a task gets, and all
that the kind must know of it, says its `TaskDescription`: a head makes one of its task's config, an exported graph
brings one along.
"""

from __future__ import annotations

from hf_mtl_light.answering._base import Answering, Answers
from hf_mtl_light.answering._options import STRATEGIES, AnswerOptions, best_first, set_threshold, threshold_of
from hf_mtl_light.answering.label import LabelAnswers
from hf_mtl_light.answering.labels import LabelsAnswers
from hf_mtl_light.answering.numbers import NumberAnswers
from hf_mtl_light.answering.objects import FIRST_LABEL, ObjectAnswers, keep_best
from hf_mtl_light.answering.scale import ScaleAnswers
from hf_mtl_light.answering.tags import TagAnswers
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed

__all__ = [
    "FIRST_LABEL",
    "KINDS",
    "STRATEGIES",
    "AnswerOptions",
    "Answering",
    "Answers",
    "LabelAnswers",
    "LabelsAnswers",
    "NumberAnswers",
    "ObjectAnswers",
    "ScaleAnswers",
    "TagAnswers",
    "answers_of",
    "best_first",
    "keep_best",
    "set_threshold",
    "threshold_of",
]

#: What ``TaskDescription.answers`` may say -> what answers.
KINDS: dict[str, type[Answers]] = {
    "label": LabelAnswers,
    "labels": LabelsAnswers,
    "scale": ScaleAnswers,
    "tags": TagAnswers,
    "numbers": NumberAnswers,
    "objects": ObjectAnswers,
}


def answers_of(task: TaskDescription) -> type[Answers]:
    """Return what answers a task.

    Raises:
        ValueError: If the task's kind of answers is unknown.
    """
    if task.answers not in KINDS:
        raise UserError(
            f"Task {task.name!r}: answers of the kind {task.answers!r} are unknown to this hf-mtl, which knows "
            f"{listed(KINDS)}. Install the version that exported it, or a later one."
        )
    kind = KINDS[task.answers]
    # The same answers, of rows that are read otherwise.
    return kind if task.reads == kind.reads else type(kind.__name__, (kind,), {"reads": task.reads})
