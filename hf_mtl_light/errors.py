"""Errors that a user can mend: what was found where, what was expected, what to do.

Whatever else is raised is a bug, and the command line reports it as one.
"""

from __future__ import annotations

__all__ = ["MissingExtraError", "UserError", "UserKeyError", "UserTypeError"]


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


class MissingExtraError(UserError, ImportError):
    """A package that is not installed; the message names the command that installs it."""
