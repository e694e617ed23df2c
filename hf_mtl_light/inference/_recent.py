"""The answerers of the last calls: the arguments of a call are most often those of the one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hf_mtl_light.inference._answerer import Answerer

__all__ = ["RecentAnswerers"]

#: How many are kept.
_KEPT = 8


class RecentAnswerers:
    """Keeps the answerers that were made last; threads may share it."""

    def __init__(self) -> None:
        self._found: dict[str, Answerer] = {}

    def get(self, arguments: Mapping[str, Any], make: Callable[[], Answerer]) -> Answerer:
        """Return what answers with some arguments, made if it is not there.

        Args:
            arguments: What the answerer depends on.
            make: Makes it.
        """
        key = repr(sorted(arguments.items()))
        answerer = self._found.get(key)
        if answerer is None:
            answerer = make()
            # Replaced, not changed: another thread may be reading.
            self._found = {**dict(list(self._found.items())[1 - _KEPT :]), key: answerer}
        return answerer
