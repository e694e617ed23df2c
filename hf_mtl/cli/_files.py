"""Files of the command line: rows in, answers out; an output appears whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

__all__ = ["check_readable", "check_writable", "read_rows", "write_whole"]

_STANDARD = Path("-")


def check_readable(path: Path) -> None:
    """Check that an input exists before a model is loaded for it.

    Raises:
        ValueError: If there is no such file.
    """
    if path != _STANDARD and not path.is_file():
        raise ValueError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}.")


def check_writable(path: Path) -> None:
    """Check that an output can be written before work is done for it.

    Raises:
        ValueError: If it cannot.
    """
    if path == _STANDARD:
        return
    if path.is_dir():
        raise ValueError(f"{path}: is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {str(path.parent)!r} does not exist. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: no permission to write in {str(path.parent)!r}.")


@contextmanager
def write_whole(path: Path) -> Iterator[TextIO]:
    """Open an output; a file gets its name only when all is written. ``-`` is stdout."""
    if path == _STANDARD:
        yield sys.stdout
        sys.stdout.flush()
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read rows as they are needed: a text a line from ``.txt``, else JSON Lines. ``-`` is stdin, JSON Lines.

    Empty lines are empty texts in ``.txt``, and passed over in JSON Lines.

    Raises:
        ValueError: If a line is not a row; the message names its number, from 1.
    """
    name = "stdin" if path == _STANDARD else str(path)
    stream = sys.stdin if path == _STANDARD else path.open(encoding="utf-8-sig")
    try:
        number = 0
        for number, line in enumerate(stream, start=1):
            if path.suffix == ".txt":
                yield {"text": line.rstrip("\n")}
            elif line.strip():
                yield _row(line, f"{name}, line {number}")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}, after line {number}: not UTF-8 text ({error.reason}).") from None
    finally:
        if stream is not sys.stdin:
            stream.close()


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where}: not JSON ({error.msg}, column {error.colno}). Expected one object a line."
        ) from None
    if not isinstance(row, dict):
        raise ValueError(f'{where}: expected an object such as {{"text": "..."}}, found {json.dumps(row)[:80]}.')
    tokens, text, pair = row.get("tokens"), row.get("text"), row.get("text_pair")
    if tokens is not None:
        if not isinstance(tokens, list) or not all(isinstance(word, str) for word in tokens):
            raise ValueError(f"{where}: 'tokens' must be a list of texts, found {json.dumps(tokens)[:80]}.")
    elif text is None:
        fields = ", ".join(map(repr, row)) or "none"
        raise ValueError(f"{where}: no 'text' and no 'tokens'. Fields: {fields}.")
    for field, value in (("text", text), ("text_pair", pair)):
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{where}: {field!r} must be a text, found {json.dumps(value)[:80]}.")
    return row
