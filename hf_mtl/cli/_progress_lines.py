"""Progress over rows: a bar in a terminal, and now and then a line where stderr is a file."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from hf_mtl.cli._terminal import is_terminal, write_line

__all__ = ["RowProgress"]

#: Seconds after which lines follow one another: soon at first, later a line every five minutes.
_FIRST, _LONGEST = 10.0, 300.0


class RowProgress:
    """Shows how many rows are answered.

    Args:
        total: The rows in all, where known.
        clock: Seconds that have passed, from any start.
    """

    def __init__(self, total: int | None = None, clock: Any = time.monotonic) -> None:
        self._bar = tqdm(total=total, unit=" rows", unit_scale=True, disable=not is_terminal())
        self._total, self._clock = total, clock
        self._rows = self._begun_with = 0
        self._begin = self._last = clock()
        self._wait = _FIRST

    def begin_with(self, rows: int) -> None:
        """Count rows that an earlier run answered."""
        self._begun_with = rows
        self.update(rows)

    def update(self, rows: int) -> None:
        """Count rows that were answered."""
        self._bar.update(rows)
        self._rows += rows
        now = self._clock()
        if not self._bar.disable or now - self._last < self._wait:
            return
        self._last, self._wait = now, min(2 * self._wait, _LONGEST)
        rate = (self._rows - self._begun_with) / max(now - self._begin, 1e-9)
        of = f" of {self._total:,}" if self._total else ""
        left = ""
        if self._total and rate:
            left = f", about {max(self._total - self._rows, 0) / rate / 60:.0f} minutes left"
        write_line(f"{self._rows:,}{of} rows, {rate:,.0f} a second{left}")

    def __enter__(self) -> RowProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()
