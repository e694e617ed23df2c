"""A row's label as a head reads it, and what is wrong with it."""

from __future__ import annotations

from typing import Any, Protocol

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig, value_text
from hf_mtl_light.errors import UserError

__all__ = ["LabelError", "LabelledRow", "label_index", "shortened"]


#: Characters of a value that a message shows.
_LONGEST = 200


class LabelError(UserError):
    """A label that its task cannot learn from.

    Args:
        row: Position of the row among those given.
        message: What was expected, what was found, what to do.
    """

    def __init__(self, row: int, message: str) -> None:
        super().__init__(message)
        self.row = row


class LabelledRow(Protocol):
    """What `Head.read_label` sees of a row."""

    @property
    def text(self) -> str | list[str]:
        """The text, or its words."""
        ...

    @property
    def text_pair(self) -> str | None:
        """The second text of a pair."""
        ...

    @property
    def choices(self) -> list[str] | None:
        """The texts to choose from."""
        ...

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height of the picture, in pixels, for tasks with boxes."""
        ...


def shortened(value: Any) -> str:
    """Return how a message shows a value: a cell may hold megabytes."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def label_index(task: TaskConfig, value: Any, row: int) -> int:
    """Return the position of a label in the task's own list.

    Raises:
        LabelError: If the task has no such label.
    """
    labels = task.labels or ()
    name = value if isinstance(value, str) else str(value)
    try:
        return labels.index(name)
    except ValueError:
        pass
    hint = ""
    if isinstance(value, (int, float)):
        hint = (
            " The column holds numbers without names. Name them, so that they cannot be taken in the wrong order: "
            f"labels={{{value_text(value)}: '...', ...}}, or cast it to ClassLabel(names=[...])."
        )
        numbers = {int(label): label for label in labels if label.isdecimal() and len(label) < _LONGEST}
        if value in numbers and len(numbers) == len(labels):
            # A reader of files took "01" for a number.
            hint = f" The file's column was read as numbers. Say which label each stands for: labels={numbers!r}."
    near = nearest(name[:_LONGEST], labels)
    if not near and not hint and len(name) <= _LONGEST:
        hint = f" Add it to the labels, or say which it stands for: label_values={{{name!r}: '...'}}."
    raise LabelError(
        row, f"label {shortened(value)} is not one of the task's {len(labels)}: {listed(labels)}.{near}{hint}"
    )
