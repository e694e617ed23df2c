"""What a user sees while a command runs: our own lines, and none of the libraries' below."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from tqdm.auto import tqdm

from hf_mtl_light.text import terminal_text

__all__ = ["is_terminal", "quiet_libraries", "showing_records", "stdout_console", "write_line"]


def is_terminal() -> bool:
    """Return whether a person watches stderr, where progress is shown."""
    return sys.stderr.isatty()


def write_line(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    tqdm.write(terminal_text(text), file=sys.stderr)


class _Console(Console):
    """Shows whatever it is given: rich writes its own escape sequences, and none that a text holds."""

    def render(self, renderable: Any, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else terminal_text(text), style, control)


def stdout_console() -> Console:
    """Return a console on stdout; written to a file, lines are not cut at 80 columns."""
    console = _Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else _Console(highlight=False, markup=False, emoji=False, width=140)


class _Lines(logging.Handler):
    """Shows our own log records as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        write_line(prefix + " ".join(record.getMessage().split("\n")))


@contextmanager
def showing_records() -> Iterator[None]:
    """Show records of ``hf_mtl`` as lines, and none of the libraries' warnings; undone at the end."""
    own, handler = logging.getLogger("hf_mtl"), _Lines()
    level = own.level
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", module=r"(torch|transformers|datasets|accelerate|huggingface_hub|sklearn)\b"
            )
            yield
    finally:
        own.setLevel(level)
        own.removeHandler(handler)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Show records of ``hf_mtl`` and silence the libraries' logs, bars and warnings; undone at the end."""
    # Seconds to import, which commands without a model do not spend.
    import datasets
    from datasets.utils import logging as datasets_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    with ExitStack() as undo:
        undo.callback(transformers_logging.set_verbosity, transformers_logging.get_verbosity())
        transformers_logging.set_verbosity(logging.CRITICAL)
        undo.callback(datasets_logging.set_verbosity, datasets_logging.get_verbosity())
        datasets_logging.set_verbosity(logging.CRITICAL)
        # Bars that map files are noise; a download of gigabytes needs one.
        downloads = not are_progress_bars_disabled()
        if transformers_logging.is_progress_bar_enabled():
            undo.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()
        if downloads:
            enable_progress_bars()
        if not datasets.are_progress_bars_disabled():
            undo.callback(datasets.enable_progress_bars)
            datasets.disable_progress_bars()
        undo.enter_context(showing_records())
        yield
