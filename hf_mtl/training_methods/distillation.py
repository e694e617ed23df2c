r"""Distillation: tasks learn from a teacher's answers, less and less, and from their labels, more and more.

.. math:: (1 - \mu) \, L(z, y) + \mu \, T^2 L(z / T, p_T), \qquad \mu = \alpha (1 - t / S)

with the student's logits :math:`z`, its labels :math:`y`, the teacher's probabilities :math:`p_T` at temperature
:math:`T`, and step :math:`t` of :math:`S`. Since losses of classes are linear in their targets, it is at :math:`T = 1`
the loss of the mixture of label and teacher.

Source: K. Clark et al., BAM! Born-Again Multi-Task Networks for Natural Language Understanding, ACL 2019, section 3.1
(teacher annealing); G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, 2015.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_mtl._names import listed
from hf_mtl._options import check_number
from hf_mtl.training_methods._base import TrainingMethod, TrainingStart
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.data import StoredPredictions
    from hf_mtl.heads import Head
    from hf_mtl.training_methods._teachers import Lesson, Teachers

__all__ = ["ANNEALINGS", "Distillation"]

ANNEALINGS = ("linear", "constant")


@dataclass(frozen=True, kw_only=True)
class Distillation(TrainingMethod):
    """Lets tasks learn from teachers beside their labels.

    Args:
        teachers: A model's folder or Hub id, a folder of models, a list of them, or a model by task; or a ``.parquet``
            file of stored predictions. Tasks are matched by the names of their labels.
        annealing: ``"linear"``: the teacher's share falls to 0 at the end of training; ``"constant"``: it stays.
        temperature: What the logits of classes are divided by, above 0; numbers have none.
        alpha: The teacher's share of the loss when training begins, in [0, 1].

    Raises:
        ValueError: If an option is out of its range.
    """

    teachers: Teachers = ""
    annealing: str = "linear"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, 0, 1)
        check_number("temperature", self.temperature, 0, above=True)
        if self.annealing not in ANNEALINGS:
            raise UserError(f"annealing must be one of {listed(ANNEALINGS)}, found {self.annealing!r}.")
        given: Any = list(self.teachers.values()) if isinstance(self.teachers, Mapping) else self.teachers
        given = [given] if isinstance(given, str) else given
        if (
            not isinstance(given, (list, tuple))
            or not given
            or not all(isinstance(name, str) and name for name in given)
        ):
            raise UserError(
                "teachers must be a folder of a model or of models, a list of them, a mapping from tasks to them, or a "
                f".parquet file of stored predictions, found {self.teachers!r}."
            )

    @property
    def is_stored(self) -> bool:
        """Whether the teachers' answers are stored in a file."""
        return isinstance(self.teachers, str) and self.teachers.endswith(".parquet")

    def check(self, name: str, heads: Mapping[str, Head]) -> None:
        """Check that the teachers' labels are those of the tasks.

        Raises:
            ValueError: If a task has no teacher, or cannot learn from one.
        """
        super().check(name, heads)
        self._lessons(heads)

    @cached_property
    def _stored(self) -> StoredPredictions | None:
        """The stored answers, read once for the check and the training."""
        from hf_mtl.data import StoredPredictions

        return StoredPredictions(str(self.teachers)) if self.is_stored else None

    def _lessons(self, heads: Mapping[str, Head]) -> dict[str, Lesson]:
        from hf_mtl.heads import CrfTaggingHead, Head
        from hf_mtl.training_methods._stored_lessons import stored_lessons
        from hf_mtl.training_methods._teachers import match_teachers

        for task in self.tasks or ():
            if type(heads[task]).label_probabilities is Head.label_probabilities:
                raise UserError(
                    f"method 'distillation', task {task!r}: a task of the type {heads[task].task.type!r} cannot learn "
                    "from a teacher. Leave it out of tasks."
                )
        teachable = [h.task for h in heads.values() if type(h).label_probabilities is not Head.label_probabilities]
        if self._stored is not None:
            lessons = stored_lessons(self._stored, teachable, self.tasks)
        else:
            lessons = match_teachers(self.teachers, teachable, self.tasks)
        for task in lessons:
            if self.temperature != 1 and isinstance(heads[task], CrfTaggingHead):
                raise UserError(
                    f"method 'distillation', task {task!r}: marginals of a crf-tagging task have no temperature. Leave "
                    "temperature out, or name the tasks that are to be taught: tasks: [...]."
                )
        return lessons

    def begin(self, start: TrainingStart) -> TrainingMethod:
        """Load the teachers, or read their stored answers.

        Raises:
            ValueError: If an answer is missing, or the teachers cannot read what the student reads.
        """
        from hf_mtl.training_methods._answers import Answers, ModelAnswers, StoredAnswers
        from hf_mtl.training_methods._teaching import Teaching

        stored, lessons = self._stored, self._lessons(start.heads)
        answers: Answers = ModelAnswers(lessons, start) if stored is None else StoredAnswers(stored, lessons, start)
        return Teaching(
            alpha=self.alpha,
            tasks=list(lessons),
            share=self.share,
            temperature=self.temperature,
            answers=answers,
            steps=start.steps,
        )

    def share(self, step: int, steps: int) -> float:
        """Return the teacher's share of the loss in a step.

        Args:
            step: Number of the step, from 0.
            steps: All steps of the training.
        """
        return self.alpha * max(0.0, 1 - step / steps) if self.annealing == "linear" else self.alpha
