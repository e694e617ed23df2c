"""Errors that a user can mend: what was found where, what was expected, what to do.

Whatever else is raised is a bug, and the command line reports it as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "InferenceError",
    "MissingExtraError",
    "UserError",
    "UserKeyError",
    "UserTypeError",
    "is_bug",
    "library_errors_name",
]


class UserError(ValueError):
    """A mistake in an argument, a file or a row that its user can mend.

    >>> isinstance(UserKeyError("no task 'a'"), KeyError), str(UserKeyError("no task 'a'"))
    (True, "no task 'a'")
    """

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError's own is the repr of its message


class UserTypeError(UserError, TypeError):
    """A value of the wrong type."""


class UserKeyError(UserError, KeyError):
    """A name that does not exist."""


class InferenceError(UserError):
    """What the columns of a task leave open.

    Args:
        task: The task.
        field: The field of `TaskConfig` that would settle it; may be empty.
        message: What was found and what to do.
    """

    def __init__(self, task: str, field: str, message: str) -> None:
        super().__init__(f"Task {task!r}: {message}")
        self.task, self.field, self.message = task, field, message


class MissingExtraError(UserError, ImportError):
    """A package that is not installed; the message names the command that installs it."""


def is_bug(error: BaseException) -> bool:
    """Return whether an error was raised by a statement of this package without being meant for users.

    What a library raises while it reads a user's file is not: `library_errors_name` makes a `UserError` of it.
    """
    if isinstance(error, (UserError, OSError, UnicodeError, RecursionError)):
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    module = "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("hf_mtl", "hf_mtl_light")


@contextmanager
def library_errors_name(what: str) -> Iterator[None]:
    """Turn what a library raises over a user's file into a `UserError` that names it.

    Libraries written in Rust and C++ (safetensors, tokenizers, onnxruntime) raise their own classes, tokenizers
    even Exception itself, so the place where an error was raised decides, not its class.

    Args:
        what: What is being read, such as ``"model 'runs/a'"``.

    Raises:
        UserError: With the library's message, on one line.

    >>> with library_errors_name("a.json"):
    ...     __import__("json").loads("{")
    Traceback (most recent call last):
    hf_mtl_light.errors.UserError: a.json: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if is_bug(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        raise UserError(f"{what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply to be read."
    if isinstance(error, UnicodeDecodeError):
        return f"not text in {error.encoding.upper()} (byte {error.object[error.start]:#04x} at {error.start:,})."
    # str(KeyError) is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:397]}..."
