"""One judge for every hostile case: a right result, or one line of a user's mistake with nothing half-written."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl_light.errors import UserError

__all__ = ["RIGHT", "Judge", "listing"]

#: What a case says that has a right result in place of words of an error.
RIGHT = None
#: Lines on stderr that are remarks, not errors.
_REMARK = re.compile(r"^(warning: |.*has no validation split)")
#: Longer messages are reports of a library.
_LONGEST = 1000


def listing(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: each entry's kind and the hash of its bytes; links are not followed."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                what = hashlib.blake2b(path.read_bytes()).hexdigest()
            else:
                what = str(os.readlink(path)) if stat.S_ISLNK(mode) else str(stat.S_IFMT(mode))
            found[str(path.relative_to(folder))] = what
    return found


class Judge:
    """Runs commands and Python in a folder and decides.

    Args:
        folder: Everything that the case may touch.
        record: Takes ``(name, value)`` for the counts at the end of the run.
    """

    def __init__(self, folder: Path, record: Any) -> None:
        self.folder = folder
        self.record = record

    def command(self, args: Sequence[Any], says: str | None, written: Sequence[str] = (), **kwargs: Any) -> str:
        """Run a command; return its one line, or what it printed.

        Args:
            args: The command line.
            says: What the one line must match; `RIGHT` if the command must succeed.
            written: What a right command may write or change, as first names in the folder.
            **kwargs: For the runner, such as ``input``.
        """
        before = listing(self.folder)
        result = CliRunner().invoke(app, [str(arg) for arg in args], **kwargs)
        after = listing(self.folder)
        shown = " ".join(result.output.split())
        if says is RIGHT:
            assert result.exit_code == 0, f"exit code {result.exit_code}: {shown[-1500:]}"
            allowed = {name for name in (*before, *after) if Path(name).parts[0] in written}
            self._same(before, after, allowed)
            assert not re.search(r"\bnan\b|Traceback", result.stdout, re.IGNORECASE), result.stdout
            self.record("hostile", "a right result")
            return result.stdout
        lines = [line for line in result.stderr.splitlines() if line.strip() and not _REMARK.match(line)]
        assert result.exit_code == 2, f"exit code {result.exit_code}: {shown[-1500:]}"
        assert len(lines) == 1, "not one line:\n" + "\n".join(lines)
        assert lines[0].startswith("error: "), lines[0]
        line = lines[0].removeprefix("error: ")
        self._line(line, says)
        self._same(before, after)
        return line

    def python(self, call: Any, says: str | None) -> Any:
        """Call a function; return its result, or the message of the error that it must raise."""
        before = listing(self.folder)
        try:
            result = call()
        except (UserError, OSError) as error:
            refusal = str(error)
        else:
            refusal = None
        self._same(before, listing(self.folder))
        if refusal is not None:
            assert says is not RIGHT, f"refused: {refusal}"
            self._line(" ".join(refusal.split()), says)
            return refusal
        assert says is RIGHT, f"accepted: {result!r}"[:500]
        self.record("hostile", "a right result")
        return result

    def _line(self, line: str, says: str) -> None:
        assert re.search(says, line), f"{says!r} is not in: {line}"
        assert len(line) <= _LONGEST, f"{len(line)} characters: {line}"
        assert "Traceback" not in line, line
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line), repr(line)
        self.record("hostile", "one line")

    @staticmethod
    def _same(before: dict[str, str], after: dict[str, str], allowed: set[str] | frozenset[str] = frozenset()) -> None:
        changed = {name for name in (*before, *after) if before.get(name) != after.get(name)} - allowed
        assert not changed, f"written, changed or lost: {sorted(changed)}"
