"""The inner loop, ``pytest -m fast``: doctests, and the files of tests/fast.txt.

A new file is not in the loop until it is named there. What a file costs there is measured when the loop runs, and
those that no longer belong are named at its end, so that the loop does not grow in silence.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

__all__ = ["FILES"]

_TESTS = Path(__file__).parent

#: Names of the files, as seen from tests/.
FILES = tuple((_TESTS / "fast.txt").read_text().split())

#: Seconds of a core above which a file does not belong in the loop.
_MOST = 3

#: Seconds of a core by file, of this run.
_seconds: Counter[str] = Counter()


def _is_chosen(config: pytest.Config) -> bool:
    return config.getoption("markexpr") == "fast"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no test file that the loop leaves out."""
    is_test = collection_path.suffix == ".py" and collection_path.is_relative_to(_TESTS)
    left_out = is_test and collection_path.relative_to(_TESTS).as_posix() not in FILES
    return True if left_out and _is_chosen(config) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in the loop as ``fast``."""
    chosen = {_TESTS / name for name in FILES}
    for item in items:
        if isinstance(item, pytest.DoctestItem) or item.path in chosen:
            item.add_marker(pytest.mark.fast)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Add up what each file costs."""
    before = time.process_time()
    result = yield
    _seconds[item.nodeid.partition("::")[0]] += time.process_time() - before
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the loop cost, and the files that cost too much for it."""
    if not _is_chosen(config):
        return
    in_all = f"{time.process_time():.0f} seconds of a core, {sum(_seconds.values()):.0f} of them in tests"
    terminalreporter.write_line(f"fast: {in_all}")
    for file, seconds in _seconds.most_common():
        if seconds > _MOST:
            terminalreporter.write_line(f"fast: leave {file} out of tests/fast.txt: {seconds:.1f} seconds of a core")
