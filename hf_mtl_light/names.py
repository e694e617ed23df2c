"""Spelling help for error messages: the nearest valid name to a wrong one."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

__all__ = ["listed", "nearest"]


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest valid name, or an empty string.

    Args:
        name: The name that was given.
        valid: The names that would have been right.

    Returns:
        A sentence that starts with a space, or nothing where no name is close.

    >>> nearest("sentment", ["intent", "sentiment"])
    " Did you mean 'sentiment'?"
    """
    valid = list(valid)
    composed = unicodedata.normalize("NFC", str(name))
    for other in valid:
        if other != name and unicodedata.normalize("NFC", str(other)) == composed:
            # They look the same: files of one machine may spell an accent as a letter and a mark.
            return f" Did you mean {other!r}, whose characters are composed in another form? Copy it from there."
    close = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names as an English list, cut after ``most`` of them.

    >>> listed(["a", "b"])
    "'a', 'b'"
    """
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
