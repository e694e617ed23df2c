"""An output in the making: it survives a kill, can be continued, and gets its name only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hf_mtl_light.errors import UserError
from hf_mtl_light.outputs import lock_file, open_beside, real_path

__all__ = ["Done", "PartialOutput", "clear_finished", "is_unfinished"]


@dataclass(frozen=True)
class Done:
    """How far an output has come.

    Args:
        rows: Input rows that were read for it.
        skipped: Those of them that were left out.
        size: Its bytes.
        digest: A digest of the input rows.
    """

    rows: int = 0
    skipped: int = 0
    size: int = 0
    digest: str = hashlib.blake2b(digest_size=16).hexdigest()


class PartialOutput:
    """The bytes so far (``.<name>.partial``) and, a line a step, how far they go (``.<name>.journal``).

    A step's bytes are on the disk before its line is. What follows the last whole line is cut off when the
    output is continued. Left with an error, the two files stay if a step was done; else they go.

    Args:
        output: The file that is to be.
        settings: What the bytes depend on; a resumed run must have the same.
        resume: Whether to continue what is there.

    Raises:
        ValueError: If the settings differ, or another run is writing the same output.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any], resume: bool) -> None:
        self.output = real_path(output)
        self.path = self.output.with_name(f".{self.output.name}.partial")
        self._journal_path = self.output.with_name(f".{self.output.name}.journal")
        self._settings = dict(settings)
        found, size = self._read_journal()
        #: Rows of an unfinished run that is thrown away.
        self.lost = 0 if resume else found.rows
        #: Whether the bytes before the first row are there.
        self.is_begun = bool(resume and size)
        self._stream = open_beside(self.path)
        try:
            self._lock()
            if resume and size:
                self._check_settings()
            self.done, size = (found, size) if resume else (Done(), 0)
            if self._stream.seek(0, os.SEEK_END) < self.done.size:
                raise UserError(f"{self.path}: shorter than its journal says. Start again without --resume.")
            self._journal = open_beside(self._journal_path)
        except BaseException:
            self._stream.close()
            raise
        self._stream.truncate(self.done.size)
        self._stream.seek(self.done.size)
        self._journal.truncate(size)
        self._journal.seek(size)
        if not size:
            self._note(self._settings)

    def _lock(self) -> None:
        if not lock_file(self._stream):
            raise UserError(f"{self.output}: another run is writing it.")

    def _lines(self) -> list[dict[str, Any]]:
        """Return the whole lines of the journal."""
        lines: list[dict[str, Any]] = []
        if self._journal_path.is_file():
            for line in self._journal_path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return lines

    def _read_journal(self) -> tuple[Done, int]:
        """Return the last step, and the length of the journal's whole lines in bytes; nothing if there is no step."""
        lines = self._lines()
        if len(lines) < 2 or not self.path.is_file():
            return Done(), 0
        return Done(**lines[-1]), self._journal_path.read_bytes().rindex(b"\n") + 1

    def _check_settings(self) -> None:
        before = self._lines()[0]
        changed = [key for key in {**before, **self._settings} if before.get(key) != self._settings.get(key)]
        if changed:
            what = "; ".join(f"{key} was {before.get(key)!r}, is {self._settings.get(key)!r}" for key in changed)
            raise UserError(f"--resume: {self.output} was started otherwise: {what}. Start again without --resume.")

    def add(self, data: bytes, done: Done) -> None:
        """Write a step's bytes, then note that they are there; ``done.size`` is filled in."""
        self._stream.write(data)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.done = Done(done.rows, done.skipped, self._stream.tell(), done.digest)
        self._note(vars(self.done))

    def _note(self, values: Mapping[str, Any]) -> None:
        self._journal.write(json.dumps(values).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def __enter__(self) -> PartialOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()
        self._journal.close()
        if kind is not None and not self.done.rows:
            self.forget()

    def forget(self) -> None:
        """Delete the two files, or what is left of them."""
        # The journal first: alone beside an output it says that the output is whole.
        self._journal_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def is_unfinished(output: Path) -> bool:
    """Return whether a killed run left something beside an output."""
    output = real_path(output)
    return any(output.with_name(f".{output.name}.{kind}").is_file() for kind in ("partial", "journal"))


def clear_finished(output: Path) -> bool:
    """Return whether a killed run gave an output its name and only left its journal, which is removed."""
    output = real_path(output)
    partial, journal = (output.with_name(f".{output.name}.{kind}") for kind in ("partial", "journal"))
    if not output.is_file() or not journal.is_file() or partial.exists():
        return False
    journal.unlink()
    return True
