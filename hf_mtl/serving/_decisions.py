"""The body of a request with typed questions: see `hf_mtl_light.decisions`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hf_mtl.serving._requests import Input, Strict
from hf_mtl_light.decisions import DecisionQuestion, decision_question
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import Answerer

__all__ = ["SystemOneRequest"]


class QuestionBody(Strict):
    """A question. The model was trained to answer it, so ``instructions`` are not read."""

    type: Literal["choice", "score", "noul"]
    instructions: Any = None
    criteria: dict[str, Any] | list[Any] | None = Field(
        default=None, description="The options; where they are given, they must be those of the task."
    )


class Asset(Strict):
    """A picture."""

    type: Literal["image"] = "image"
    format: str | None = None
    data_base64: str


class SystemOneRequest(Strict):
    """A text, or a picture, and the questions about it."""

    state: str | Input
    questions: dict[str, QuestionBody] = Field(min_length=1, max_length=64, examples=[{"mood": {"type": "choice"}}])
    model: str | None = Field(default=None, description="Any name; the server has one model.")
    assets: dict[str, Asset] = Field(
        default_factory=dict, max_length=1, description="A picture by its name, where the state is that name."
    )

    def read_state(self) -> str | Input:
        """Return the text or the picture that is asked about.

        Raises:
            UserError: If there is a picture that the state does not name.
        """
        for name, asset in self.assets.items():
            if self.state != name:
                raise UserError(
                    f"assets: the picture {name!r} is read where the state is its name, without a text around it; "
                    f"found the state {self.state!r:.80}."
                )
            return Input(image=asset.data_base64)
        return self.state

    def asked(self, answerer: Answerer) -> list[DecisionQuestion]:
        """Return which task answers each question.

        Raises:
            UserError: If none does.
        """
        return [
            decision_question(name, question.type, question.criteria, answerer.tasks, answerer.heads)
            for name, question in self.questions.items()
        ]
