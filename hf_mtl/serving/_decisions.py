"""The body of a request with typed questions: see `hf_mtl_light.decisions`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hf_mtl.serving._requests import Input, Strict
from hf_mtl_light.decisions import DecisionQuestion, decision_question
from hf_mtl_light.inference import Answerer

__all__ = ["SystemOneRequest"]


class QuestionBody(Strict):
    """A question. The model was trained to answer it, so ``instructions`` are not read."""

    type: Literal["choice", "score", "noul"]
    instructions: Any = None
    criteria: dict[str, Any] | list[Any] | None = Field(
        default=None, description="The options; where they are given, they must be those of the task."
    )


class SystemOneRequest(Strict):
    """A text and the questions about it."""

    state: str | Input
    questions: dict[str, QuestionBody] = Field(min_length=1, max_length=64, examples=[{"mood": {"type": "choice"}}])
    model: str | None = Field(default=None, description="Any name; the server has one model.")
    assets: dict[str, Any] = Field(default_factory=dict, max_length=0, description="Pictures are not taken.")

    def asked(self, answerer: Answerer) -> list[DecisionQuestion]:
        """Return which task answers each question.

        Raises:
            UserError: If none does.
        """
        return [
            decision_question(name, question.type, question.criteria, answerer.tasks, answerer.heads)
            for name, question in self.questions.items()
        ]
