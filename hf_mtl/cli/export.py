"""``hf-mtl export``: a task as a stock Transformers folder, or all tasks as an ONNX graph or a SavedModel."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hf_mtl.cli._early import check_model, check_recipe
from hf_mtl.cli.evaluate import Split
from hf_mtl_light.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_mtl.data import Row
    from hf_mtl.export import OnnxReport
    from hf_mtl.model import MultiTaskModel

__all__ = ["export"]


class _Form(str, Enum):
    transformers = "transformers"
    onnx = "onnx"
    tensorflow = "tensorflow"


class _Quantization(str, Enum):
    int8 = "int8"


def export(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    output: Path = typer.Argument(metavar="OUT", help="The folder to write.", show_default=False),
    to: _Form = typer.Option(..., "--to", help="What to write.", show_default=False),
    task: list[str] | None = typer.Option(
        None, help="The task; graphs take several (repeat it), all by default.", show_default=False
    ),
    quantize: _Quantization | None = typer.Option(
        None, help="Weights in 8 bits: a quarter of the size, faster on CPUs. ONNX only.", show_default=False
    ),
    texts: Path | None = typer.Option(
        None, help="Texts to compare graph and model on, as hf-mtl predict reads them.", show_default=False
    ),
    check: Path | None = typer.Option(
        None,
        help="A recipe: score each task on its labelled rows, by model and graph, and show what the graph loses. "
        "ONNX only.",
        show_default=False,
    ),
    split: Split = typer.Option(Split.validation, help="The split of the recipe to score on."),
    most_lost: float | None = typer.Option(
        None,
        min=0,
        help="The most hundredths of its metric that a task may lose there, else nothing is written: 1 by default.",
        show_default=False,
    ),
    tensorflow_python: Path | None = typer.Option(
        None,
        help="The Python of an environment with tensorflow and onnx, which SavedModels are made in; this one by "
        "default. TensorFlow only.",
        show_default=False,
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier export in OUT."),
) -> None:
    """Write a task as a stock Transformers model, or all tasks as one ONNX graph or one SavedModel of TensorFlow.

    The first loads where hf-mtl is not installed, the others answer where torch is not (hf_mtl_light.OnnxPredictor).
    OUT appears whole or not at all.
    """
    from hf_mtl.cli._files import check_readable

    for name, value, forms in (
        ("--quantize", quantize, ["onnx"]),
        ("--texts", texts, ["onnx", "tensorflow"]),
        ("--check", check, ["onnx"]),
        ("--tensorflow-python", tensorflow_python, ["tensorflow"]),
    ):
        if value is not None and to.value not in forms:
            raise UserError(f"{name} is for --to {' and --to '.join(forms)}. Leave it out.")
    if check is None and (most_lost is not None or split is not Split.validation):
        name = "--split" if most_lost is None else "--most-lost"
        raise UserError(f"{name} is for --check RECIPE. Give the recipe, or leave it out.")
    if texts is not None:
        check_readable(texts)
    check_model(model)
    check_recipe(check)

    from hf_mtl.cli._model import image_processor_of, load_model
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.export import check_folder, export_tensorflow, export_transformers

    check_folder(output, overwrite, source=model)
    with quiet_libraries():
        loaded, tokenizer = load_model(model, merge_adapters=True)
        names = _task_names(task, list(loaded.task_heads), several=to is not _Form.transformers)
        console = stdout_console()
        if to is _Form.transformers:
            processor = image_processor_of(loaded)
            stock = export_transformers(
                loaded, tokenizer, names[0], output, overwrite=overwrite, image_processor=processor
            )
            console.print(f"{names[0]} is in {output}, a {type(stock).__name__}", markup=False, soft_wrap=True)
            return
        judged: dict[str, Any] = {}
        if check is not None:
            judged["check"] = _labelled(loaded, names, check, split)
            if most_lost is not None:
                judged["most_lost"] = most_lost
        try:
            if to is _Form.tensorflow:
                given = {"tasks": names, "texts": _rows(texts), "python": tensorflow_python, "overwrite": overwrite}
                _show(export_tensorflow(loaded, tokenizer, output, **given))  # type: ignore[arg-type]
                console.print(f"SavedModel, tokenizer and tasks.json are in {output}", markup=False, soft_wrap=True)
                return
            processor = image_processor_of(loaded)
            report = _export_onnx(loaded, tokenizer, output, names, quantize, texts, overwrite, processor, **judged)
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
    image_processor: object,
    **judged: Any,
) -> OnnxReport:
    from hf_mtl.export import export_onnx

    return export_onnx(
        model,  # type: ignore[arg-type]
        tokenizer,  # type: ignore[arg-type]
        output,
        tasks=names,
        quantize=None if quantize is None else quantize.value,
        texts=_rows(texts),
        overwrite=overwrite,
        image_processor=image_processor,
        **judged,
    )


def _rows(texts: Path | None) -> list[Row] | None:
    """Return the texts to compare on."""
    from hf_mtl.cli._reading import BadRow, RowReader

    if texts is None:
        return None
    rows = []
    for read in RowReader(texts):
        if isinstance(read, BadRow):
            raise UserError(read.message)
        rows.append(read.row)
    if not rows:
        raise UserError(f"{texts}: holds no texts.")
    return rows


def _labelled(model: MultiTaskModel, names: list[str], recipe: Path, split: Split) -> dict[str, Dataset]:
    """Return the rows of a recipe that label the tasks that are exported."""
    from hf_mtl.recipe import Recipe

    data = Recipe.load(recipe).prepare_for(model.tasks, split.value)
    return {name: rows for name, rows in data.items() if set(rows.column_names) & set(names)}


def _show(report: OnnxReport) -> None:
    from rich.table import Table

    from hf_mtl.cli._terminal import stdout_console

    made_up = " of random tokens" if report.made_up else ""
    compared = [f"{report.rows} texts{made_up}"] if report.rows else []
    compared += [f"{report.pictures} pictures of random pixels"] if report.pictures else []
    title = f"{report.precision}, {report.megabytes:.1f} MB, against torch on {' and '.join(compared)}"
    table = Table(title=title)
    table.add_column("task")
    for head in ("largest difference of a logit", "equal decisions"):
        table.add_column(head, justify="right")
    for name, agreement in report.tasks.items():
        equal = f"{agreement.equal:,} of {agreement.decisions:,}" if agreement.decisions else "-"
        table.add_row(name, f"{agreement.difference:.2g}", equal)
    stdout_console().print(table)
    if report.scores:
        table = Table(title="On labelled rows")
        table.add_column("task")
        table.add_column("metric")
        for head in ("rows", "model", "graph", "points lost"):
            table.add_column(head, justify="right")
        for name, task in report.scores.items():
            cells = f"{task.rows:,}", f"{task.model:.4f}", f"{task.graph:.4f}", f"{task.lost:+.2f}"
            table.add_row(name, task.metric, *cells)
        stdout_console().print(table)
