"""Typed questions about a text, in the form of System One, as tasks answer them.

A question's name is that of a task. ``choice`` asks which of its labels holds, ``score`` how far up its scale a text is
(``sentiment``), ``noul`` whether one label holds, named ``<task>/<label>``. Each answer has a probability for every
option. Transformers' ``pipeline("decision")`` and ``transformers serve`` take and give the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl_light.answering import Answering
from hf_mtl_light.errors import UserError
from hf_mtl_light.names import listed, nearest

__all__ = ["QUESTION_TYPES", "DecisionQuestion", "decision_question"]

QUESTION_TYPES = ("choice", "score", "noul")


@dataclass(frozen=True)
class DecisionQuestion:
    """A question and the task that answers it.

    Args:
        name: The question's name.
        type: One of `QUESTION_TYPES`.
        task: Name of the task.
        labels: The task's labels, in order.
        label: Of a ``noul`` the label that it asks for.
        legend: Of a ``score`` the description of each level.
    """

    name: str
    type: str
    task: str
    labels: Sequence[str]
    label: str | None = None
    legend: Sequence[Any] = ()

    def answer(self, found: Any) -> dict[str, Any]:
        """Return the answer in System One's form.

        Args:
            found: The task's answer with all labels: a list of ``{"label", "score"}``, or a dict with ``scores``;
                ``None`` where the state lacks what the task reads.

        Raises:
            UserError: If it is ``None``.
        """
        if found is None:
            raise UserError(
                f"Question {self.name!r}: the state lacks what the task {self.task!r} reads. Send a text to a task of "
                "texts, a picture to one of pictures."
            )
        named = found["scores"] if isinstance(found, Mapping) else {one["label"]: one["score"] for one in found}
        if self.label is not None:
            return {"type": "noul", "noul": named[self.label]}
        scores = [named[label] for label in self.labels]
        if self.type == "choice":
            best = max(self.labels, key=named.__getitem__)
            probabilities = dict(zip(self.labels, scores, strict=True))
            confidence = _confidence_of_choice(scores)
            return {"type": "choice", "choice": best, "confidence": confidence, "probabilities": probabilities}
        levels = [str(level) for level in range(len(scores))]
        return {
            "type": "score",
            "score": sum(level * score for level, score in enumerate(scores)),
            "legend": dict(zip(levels, self.legend or self.labels, strict=True)),
            "confidence": _confidence_of_score(scores),
            "probabilities": dict(zip(levels, scores, strict=True)),
        }


def _confidence_of_choice(scores: Sequence[float]) -> float:
    """Return how far the best of n probabilities lies above 1/n, in [0, 1]: (p - 1/n) / (1 - 1/n)."""
    count = len(scores)
    return 1.0 if count == 1 else max(0.0, (max(scores) - 1 / count) / (1 - 1 / count))


def _confidence_of_score(scores: Sequence[float]) -> float:
    """Return how close to the best level the probability lies, in [0, 1]: 0 as spread as with equal probabilities."""
    count = len(scores)
    best = max(range(count), key=scores.__getitem__)
    distance = sum(score * abs(level - best) for level, score in enumerate(scores))
    even = sum(abs(level - (count - 1) / 2) for level in range(count)) / count
    return 1.0 if count == 1 else max(0.0, 1 - distance / even)


def decision_question(
    name: str, kind: str, criteria: Any, tasks: Mapping[str, Any], heads: Mapping[str, Answering]
) -> DecisionQuestion:
    """Return which task answers a question.

    Args:
        name: The question's name.
        kind: Its type, one of `QUESTION_TYPES`.
        criteria: The options that it names, if it does: ``{label: description}`` of a choice, the levels of a score,
            lowest first, or descriptions of ``true`` and ``false``.
        tasks: The model's tasks.
        heads: What answers each.

    Raises:
        UserError: If no task does, the task does not answer such questions, or it has other options.
    """
    task, label = name, None
    if kind == "noul":
        # A task's name may hold a slash, and so may a label.
        found = [known for known in tasks if name.startswith(f"{known}/")]
        if not found:
            raise UserError(
                f"Question {name!r}: a noul question is named '<task>/<label>', with a task of this model. Tasks: "
                f"{listed(tasks)}."
            )
        task = max(found, key=len)
        label = name[len(task) + 1 :]
    if task not in tasks:
        raise UserError(
            f"Question {name!r} is no task of this model, which answers what it was trained for."
            f"{nearest(task, tasks)} Tasks: {listed(tasks)}."
        )
    kinds = _question_types(heads[task], tasks[task])
    if kind not in kinds:
        what = f"{listed(kinds)} questions" if kinds else "no such questions"
        raise UserError(f"Question {name!r}: the task {task!r} ({tasks[task].type}) answers {what}.")
    labels = list(tasks[task].labels)
    if label is not None and label not in labels:
        raise UserError(
            f"Question {name!r}: {label!r} is no label of the task {task!r}.{nearest(label, labels)} "
            f"Labels: {listed(labels)}."
        )
    return DecisionQuestion(name, kind, task, labels, label, _legend(name, kind, criteria, labels))


def _question_types(head: Answering, task: Any) -> list[str]:
    """Return which types of questions a task answers."""
    options = head.answer_options(task)
    if head.level != "sequence" or head.reads not in ("text", "image") or "top_k" not in options or not task.labels:
        return []
    if "thresholds" in options:
        return ["noul"]
    return ["choice", "score", "noul"] if task.type == "sentiment" else ["choice", "noul"]


def _legend(name: str, kind: str, criteria: Any, labels: Sequence[str]) -> list[Any]:
    """Check the options that a question names; return the descriptions of a scale's levels."""
    if criteria is None:
        return []
    if kind == "score":
        if not isinstance(criteria, (list, tuple)) or len(criteria) != len(labels):
            raise UserError(
                f"Question {name!r}: criteria must be a list of {len(labels)} levels, lowest first, as the task has: "
                f"{listed(labels)}."
            )
        return list(criteria)
    expected = ["true", "false"] if kind == "noul" else labels
    is_known = isinstance(criteria, Mapping) and not set(criteria) - set(expected)
    if not is_known or (kind == "choice" and len(criteria) < len(labels)):
        found = listed(criteria) if isinstance(criteria, Mapping) else "a list"
        raise UserError(
            f"Question {name!r}: criteria must be an object with the options that the task was trained with, "
            f"{listed(expected)}; found {found}."
        )
    return []
