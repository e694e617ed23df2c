"""The commands under one name, and one way to end: done, or one line that says what is wrong."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from hf_mtl.cli._early import check_recipe
from hf_mtl.cli.calibrate import calibrate
from hf_mtl.cli.compare import compare
from hf_mtl.cli.cv import cv
from hf_mtl.cli.data import data
from hf_mtl.cli.demo import demo
from hf_mtl.cli.distill import distill
from hf_mtl.cli.errors import errors
from hf_mtl.cli.evaluate import evaluate
from hf_mtl.cli.export import export
from hf_mtl.cli.heads import heads
from hf_mtl.cli.interpolate import interpolate
from hf_mtl.cli.merge import merge
from hf_mtl.cli.predict import predict
from hf_mtl.cli.push import push
from hf_mtl.cli.relate import relate
from hf_mtl.cli.report import report
from hf_mtl.cli.serve import serve
from hf_mtl.cli.sweep import sweep
from hf_mtl.cli.train import train
from hf_mtl.cli.tune import tune
from hf_mtl_light.errors import UserError
from hf_mtl_light.text import terminal_text

__all__ = ["app"]

#: What typer raises for a wrong command line: click's class, or typer's own copy of it from 0.17 on.
_CommandLineError: type[Exception] = typer.BadParameter.__mro__[2]

_MISTAKE, _BUG, _INTERRUPTED = 2, 70, 130  # 70: EX_SOFTWARE of sysexits.h
_OUT_OF_MEMORY = "out of memory. Fewer rows at once need less: per_device_train_batch_size, --batch-tokens."


class _Group(TyperGroup):
    """Ends with ``error: ...`` on stderr and exit code 2 for a user's mistake; shows tracebacks only on ``--debug``.

    The library raises `UserError` for what a user can mend, and the system OSError. Anything else is a bug: its
    traceback goes to a file, one line names it, and the exit code is 70.
    """

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        args = list(sys.argv[1:] if args is None else args)
        # Taken at any position: it is typed at the end of the line that has just failed.
        is_debug = "--debug" in args
        args = _repeated([arg for arg in args if arg != "--debug"], "--teachers")
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _CommandLineError as error:
            message = " ".join(error.format_message().split())  # type: ignore[attr-defined]  # click's and its copy's
            code = _fail(f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} See hf-mtl --help.")
        except BrokenPipeError:
            code = 1  # whoever read our output has left
        except (UserError, OSError, MemoryError) as error:
            if is_debug:
                traceback.print_exc()
            code = _fail(_OUT_OF_MEMORY if isinstance(error, MemoryError) else str(error) or type(error).__name__)
        except typer.Abort:
            code = _INTERRUPTED
        except Exception as error:
            if is_debug:
                traceback.print_exc()
            code = _fail(_OUT_OF_MEMORY) if type(error).__name__ == "OutOfMemoryError" else _crash(error, args)
        sys.exit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            raise typer.Exit(_INTERRUPTED) from None


class _Command(TyperCommand):
    """Finds mistakes in the recipe of a command before it runs."""

    def invoke(self, ctx: Any) -> Any:
        given = ctx.params
        check_recipe(given.get("recipe"), given.get("overrides") or [], trains="model" not in given)
        return super().invoke(ctx)


def _repeated(args: Sequence[str], option: str) -> list[str]:
    """Return arguments with an option before each of the values that follow it: ``-t a b`` as ``-t a -t b``."""
    found: list[str] = []
    follows = False
    for arg in args:
        if arg.startswith("-"):
            follows = arg == option
        elif follows and found[-1] != option:
            found.append(option)
        found.append(arg)
    return found


def _fail(message: str) -> int:
    # print, not rich: a message may hold brackets.
    print(f"error: {terminal_text(' '.join(message.split()))}", file=sys.stderr)
    return _MISTAKE


def _crash(error: Exception, args: Sequence[str]) -> int:
    from hf_mtl.cli._crash import write_report

    report = write_report(error, args)
    where = "" if report is None else f" Its traceback is in {report}."
    reason = " ".join(str(error).split())[:300]
    _fail(f"this is a bug of hf-mtl: {type(error).__name__}{': ' if reason else ''}{reason}.{where}")
    return _BUG


app = typer.Typer(
    cls=_Group,
    name="hf-mtl",
    help="Multi-task fine-tuning: one pretrained encoder, many tasks, one pass.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in (
    *(data, train, sweep, cv, compare, relate, distill, evaluate, predict, report),
    *(export, push, serve, demo, heads, merge, interpolate, tune, calibrate, errors),
):
    app.command(cls=_Command)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"hf-mtl {version('hf-mtl')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Multi-task fine-tuning: one pretrained encoder, many tasks, one pass."""
