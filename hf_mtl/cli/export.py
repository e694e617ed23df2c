"""``hf-mtl export``: a task as a stock Transformers folder, or all tasks as one ONNX graph."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from hf_mtl.export import OnnxReport

__all__ = ["export"]


class _Form(str, Enum):
    transformers = "transformers"
    onnx = "onnx"


class _Quantization(str, Enum):
    int8 = "int8"


def export(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    output: Path = typer.Argument(metavar="OUT", help="The folder to write.", show_default=False),
    to: _Form = typer.Option(..., "--to", help="What to write.", show_default=False),
    task: list[str] | None = typer.Option(
        None, help="The task; ONNX takes several (repeat it), all by default.", show_default=False
    ),
    quantize: _Quantization | None = typer.Option(
        None, help="Weights in 8 bits: a quarter of the size, faster on CPUs. ONNX only.", show_default=False
    ),
    texts: Path | None = typer.Option(
        None, help="Texts to compare graph and model on, as hf-mtl predict reads them. ONNX only.", show_default=False
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier export in OUT."),
) -> None:
    """Write a task as a stock Transformers model, or all tasks as one ONNX graph.

    The one loads where hf-mtl is not installed, the other answers where torch is not (hf_mtl_light.OnnxPredictor). OUT
    appears whole or not at all.
    """
    from hf_mtl.cli._files import check_readable
    from hf_mtl.cli._model import image_processor_of, load_model
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.export import check_folder, export_transformers

    for name, value in (("--quantize", quantize), ("--texts", texts)):
        if to is _Form.transformers and value is not None:
            raise UserError(f"{name} is for --to onnx. Leave it out.")
    if texts is not None:
        check_readable(texts)
    check_folder(output, overwrite, source=model)
    with quiet_libraries():
        loaded, tokenizer = load_model(model, merge_adapters=True)
        names = _task_names(task, list(loaded.task_heads), several=to is _Form.onnx)
        console = stdout_console()
        if to is _Form.transformers:
            processor = image_processor_of(loaded)
            stock = export_transformers(
                loaded, tokenizer, names[0], output, overwrite=overwrite, image_processor=processor
            )
            console.print(f"{names[0]} is in {output}, a {type(stock).__name__}", markup=False, soft_wrap=True)
            return
        try:
            report = _export_onnx(loaded, tokenizer, output, names, quantize, texts, overwrite)
        except ImportError as error:
            raise UserError(str(error)) from error
        _show(report)
        console.print(f"The graph, tokenizer and tasks.json are in {output}", markup=False, soft_wrap=True)


def _task_names(given: list[str] | None, known: list[str], several: bool) -> list[str]:
    from hf_mtl._names import listed, nearest

    for name in given or ():
        if name not in known:
            raise UserError(f"--task: {name!r} is no task of the model.{nearest(name, known)} Tasks: {listed(known)}.")
    names = given or known
    if not several and len(names) != 1:
        raise UserError(f"A stock model answers one task. Choose it with --task: {listed(names)}.")
    return names


def _export_onnx(
    model: object,
    tokenizer: object,
    output: Path,
    names: list[str],
    quantize: _Quantization | None,
    texts: Path | None,
    overwrite: bool,
) -> OnnxReport:
    from hf_mtl.cli._reading import BadRow, RowReader
    from hf_mtl.export import export_onnx

    rows = None
    if texts is not None:
        rows = []
        for read in RowReader(texts):
            if isinstance(read, BadRow):
                raise UserError(read.message)
            rows.append(read.row)
        if not rows:
            raise UserError(f"{texts}: holds no texts.")
    return export_onnx(
        model,  # type: ignore[arg-type]
        tokenizer,  # type: ignore[arg-type]
        output,
        tasks=names,
        quantize=None if quantize is None else quantize.value,
        texts=rows,
        overwrite=overwrite,
    )


def _show(report: OnnxReport) -> None:
    from rich.table import Table

    from hf_mtl.cli._terminal import stdout_console

    made_up = " of random tokens" if report.made_up else ""
    table = Table(title=f"{report.precision}, {report.megabytes:.1f} MB, against torch on {report.rows} texts{made_up}")
    table.add_column("task")
    for head in ("largest difference of a logit", "equal decisions"):
        table.add_column(head, justify="right")
    for name, agreement in report.tasks.items():
        equal = f"{agreement.equal:,} of {agreement.decisions:,}" if agreement.decisions else "-"
        table.add_row(name, f"{agreement.difference:.2g}", equal)
    stdout_console().print(table)
