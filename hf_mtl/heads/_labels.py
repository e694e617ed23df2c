"""A row's label as a head reads it, and what is wrong with it."""

from __future__ import annotations

from typing import Any, Protocol

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig

__all__ = ["LabelError", "LabelledRow", "label_index"]


class LabelError(ValueError):
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
    if isinstance(value, int):
        hint = (
            " The column holds integers without names: cast it to ClassLabel(names=[...]), or store the names, "
            "so that they cannot be taken in the wrong order."
        )
    raise LabelError(
        row, f"label {value!r} is not one of the task's {len(labels)}: {listed(labels)}.{nearest(name, labels)}{hint}"
    )
