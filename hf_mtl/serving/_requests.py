"""What requests hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from hf_mtl.serving._pictures import picture_from
from hf_mtl.serving._settings import ServerSettings
from hf_mtl_light.errors import UserError

__all__ = ["Input", "Parameters", "PredictRequest", "Problem", "Strict", "as_row_value", "check_length", "mistake"]


class Strict(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Input(Strict):
    """A text, a pair, or words; where a task chooses, with the choices; a picture, alone or beside them."""

    text: str | None = None
    text_pair: str | None = None
    tokens: list[str] | None = None
    choices: list[str] | None = None
    image: str | None = Field(default=None, description="A picture's file in base64, or a data: URL of it.")

    def length(self) -> int:
        """Return its characters, as `ServerSettings.max_text_length` counts them."""
        own = len(self.text or "") + len(self.text_pair or "") + sum(len(word) + 1 for word in self.tokens or ())
        return own * max(1, len(self.choices or ())) + sum(map(len, self.choices or ()))


def check_length(what: str, value: str | Input, settings: ServerSettings) -> None:
    """Refuse an input that is too long.

    Raises:
        UserError: If it is.
    """
    length = len(value) if isinstance(value, str) else value.length()
    if length > settings.max_text_length:
        raise UserError(
            f"{what}: {length:,} characters; an input has at most {settings.max_text_length:,}. Cut it into several."
        )


def as_row_value(what: str, value: str | Input, settings: ServerSettings) -> str | dict[str, Any]:
    """Return an input as `hf_mtl_light.encoding.as_row` takes it: its picture opened, which takes time.

    Args:
        what: What it is, for messages.
        value: The input.
        settings: The limits.

    Raises:
        UserError: If its picture cannot be opened, or is too large.
    """
    if isinstance(value, str):
        return value
    row = value.model_dump(exclude_none=True)
    if value.image is not None:
        row["image"] = picture_from(what, value.image, settings)
    return row


class Parameters(Strict):
    """Arguments of the pipeline; what is left out has the pipeline's default."""

    tasks: list[str] | None = Field(default=None, description="Names of the tasks to answer; null answers all.")
    top_k: int | Literal["all"] | None = Field(
        default=None, description="How many labels to name; null names all of them."
    )
    thresholds: float | dict[str, float | dict[str, float]] | None = Field(
        default=None,
        description="From which score on a label is named: a number, {task: number} or {task: {label: number}}.",
    )
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None
    ignore_labels: list[str] | None = None
    coverage: float | None = Field(
        default=None, description="Adds the set of labels that holds the truth in such a part of rows."
    )
    stride: int | None = Field(default=None, ge=0, description="Tokens that the windows of a long text share.")
    max_length: int | None = Field(default=None, description="The most tokens of a window.")


class PredictRequest(Strict):
    """One text or many, and how they are answered."""

    inputs: str | Input | list[str | Input] = Field(
        examples=["Play a song in Rome!", ["a good film", {"text": "a good film", "text_pair": "a film"}]]
    )
    parameters: Parameters = Parameters()

    def named(self, settings: ServerSettings, are_pictures: bool = False) -> dict[str, str | Input]:
        """Return the inputs by what messages call them.

        Args:
            settings: The limits.
            are_pictures: Whether an input that is a string is a picture in base64: the model reads no texts.

        Raises:
            UserError: If they are too many or too long.
        """
        inputs = self.inputs if isinstance(self.inputs, list) else [self.inputs]
        if len(inputs) > settings.max_inputs:
            raise UserError(f"{len(inputs):,} inputs; a request holds at most {settings.max_inputs:,}. Send several.")
        named: dict[str, str | Input] = {}
        for number, value in enumerate(inputs):
            own = Input(image=value) if are_pictures and isinstance(value, str) else value
            named[f"input {number}"] = own
            check_length(f"input {number}", own, settings)
        return named

    def options(self) -> dict[str, Any]:
        """Return the arguments that were given."""
        return self.parameters.model_dump(exclude_unset=True)


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


def mistake(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return what is wrong with a body, from what Pydantic found: the deepest of its errors, and where it is."""
    error = max(errors, key=lambda error: len(error["loc"]))
    # A place also holds the names of the types that Pydantic tried.
    names = [name for name in error["loc"] if isinstance(name, int) or not _TYPE.fullmatch(name)]
    names = names[1:] if names[:1] == ["body"] else names
    if error["type"] == "extra_forbidden":
        return f"{names[-1]!r} is no field of {_place(names[:-1])}."
    found = "" if error["type"] == "missing" else f", found {error.get('input')!r:.80}"
    return f"{_place(names)}: {error['msg'].lower()}{found}."


def _place(names: Sequence[str | int]) -> str:
    """Return a place in a body, as ``inputs[0].text``."""
    place = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names)
    return place.lstrip(".")[:200] or "the body"


#: Names that Pydantic gives the types of a union.
_TYPE = re.compile(r"(list|dict|lax-or-strict|literal|nullable)\[.*\]|str|int|float|[A-Z]\w*", re.DOTALL)
