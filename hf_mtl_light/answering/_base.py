"""What turns the logits of a task into its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from hf_mtl_light.answering._options import AnswerOptions
from hf_mtl_light.description import TaskDescription
from hf_mtl_light.words import Reading, WordMap

__all__ = ["Answering", "Answers"]


class Answering(Protocol):
    """What turns logits into answers: a kind of `Answers`, a head's class, or an object with weights that it needs.

    The tasks that it answers are described as it wants them: `Answers` by a `TaskDescription`, heads by their config.
    """

    @property
    def level(self) -> Literal["sequence", "token", "mask"]:
        """``"sequence"``: one answer a text, logits [R, C]. ``"token"``: one a word, [n, C]. ``"mask"``: one a mask."""
        ...

    @property
    def reads(self) -> Reading:
        """What is read of a row."""
        ...

    @property
    def needs_words(self) -> bool:
        """Whether answers are those of words."""
        ...

    def answer_options(self, task: Any) -> frozenset[str]:
        """Return the names of the `AnswerOptions` that are read: any other would be without effect."""
        ...

    def answers(
        self, task: Any, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return one answer a row: see `Answers.answers`."""
        ...

    def answer_fields(self, task: Any, options: AnswerOptions | None = None) -> Any:
        """Return what an answer holds: see `Answers.answer_fields`."""
        ...


class Answers:
    """A kind of answer that logits and a task's description are enough for."""

    #: See `Answering`.
    level: ClassVar[Literal["sequence", "token"]] = "sequence"
    reads: ClassVar[Reading] = "text"
    needs_words: ClassVar[bool] = False
    #: Names of the `AnswerOptions` that it reads.
    options: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def answer_options(cls, task: TaskDescription) -> frozenset[str]:
        """Return `options`."""
        return cls.options

    @classmethod
    def answers(
        cls, task: TaskDescription, logits: np.ndarray, words: Sequence[WordMap], options: AnswerOptions | None = None
    ) -> list[Any]:
        """Return one answer a row, of plain Python values that JSON knows.

        Args:
            task: The task.
            logits: [R, C]; of tokens [n, C], those of the rows one row after the other.
            words: What became of each row's words; its ``word_ids`` say how many tokens a row has.
            options: What is asked for; ``None`` is the default of each option.
        """
        raise NotImplementedError

    @classmethod
    def answer_fields(cls, task: TaskDescription, options: AnswerOptions | None = None) -> Any:
        """Return what an answer holds, for tables whose columns must be known before the first row.

        Returns:
            ``str``, ``int`` or ``float``; a dict from names to fields; or a list of one field, for any number of them.
        """
        raise NotImplementedError
