"""``hf-mtl report``: a training run as one page."""

from __future__ import annotations

from pathlib import Path

import typer

from hf_mtl_light.errors import UserError

__all__ = ["report"]


def report(
    run: Path = typer.Argument(help="The run folder, finished or not, or one of its checkpoints.", show_default=False),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The page to write, - for stdout. [default: report.html in the run folder]"
    ),
) -> None:
    """Draw a training run as one HTML page: losses, metrics, shares, weights, cosines, results."""
    from hf_mtl.cli._files import STANDARD, check_writable, write_whole
    from hf_mtl.cli._terminal import showing_records, stdout_console
    from hf_mtl.report import read_run, render_report

    if not run.is_dir():
        raise UserError(f"{run}: {'is a file, not a run folder' if run.exists() else 'no such folder'}.")
    path = run / "report.html" if output is None else output
    check_writable(path)
    with showing_records():
        try:
            page = render_report(read_run(run))
        except ImportError as error:
            raise UserError(str(error)) from error
    with write_whole(path) as stream:
        stream.write(page)
    if path != STANDARD:
        stdout_console().print(f"The report is in {path}", markup=False, soft_wrap=True)
