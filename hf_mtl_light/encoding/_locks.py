"""One lock for each object that threads share and that keeps state while it works."""

from __future__ import annotations

from threading import Lock, RLock
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["lock_of"]

_locks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_finding = Lock()


def lock_of(shared: Any) -> Any:
    """Return the lock of an object, the same for all who ask.

    Truncation and padding are state of a fast tokenizer, set before each call: a thread that uses it in between would
    get what another asked for.
    """
    with _finding:
        return _locks.setdefault(shared, RLock())
