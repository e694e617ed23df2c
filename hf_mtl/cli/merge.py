"""``hf-mtl merge``: heads of several models on the one encoder they share, or the mean of models."""

from __future__ import annotations

from pathlib import Path

import typer

from hf_mtl_light.errors import UserError

__all__ = ["merge"]


def merge(
    models: list[str] = typer.Argument(help="Two models or more: run folders or Hub ids.", show_default=False),
    output: Path = typer.Option(..., "--output", "-o", help="The new model's folder.", show_default=False),
    average: bool = typer.Option(False, "--average", help="Average the weights of models of equal shape."),
    weights: str | None = typer.Option(None, help="With --average: a number a model, with commas.", show_default=False),
) -> None:
    """Put the heads of several models on one encoder, which must be the same in all; or average whole models."""
    from hf_mtl.cli._model import load_model, save_changed
    from hf_mtl.cli._tables import head_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.surgery import average_models, merge_models

    if weights is not None and not average:
        raise UserError("--weights belongs to --average.")
    with quiet_libraries():
        loaded = [load_model(name) for name in models]
        for name, (_, tokenizer) in zip(models[1:], loaded[1:], strict=True):
            if tokenizer.get_vocab() != loaded[0][1].get_vocab():
                raise UserError(f"{models[0]!r} and {name!r} have other vocabularies: texts would become other tokens.")
        each = [model for model, _ in loaded]
        factors = None if weights is None else _numbers(weights)
        merged = average_models(each, factors) if average else merge_models(each)
        save_changed(merged, loaded[0][1], output)
    stdout_console().print(head_table(merged))


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"--weights takes numbers with commas between them, found {text!r}.") from None
