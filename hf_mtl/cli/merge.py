"""``hf-mtl merge``: heads of several models on the one encoder they share, or the mean of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hf_mtl.cli._early import check_model, check_recipe

if TYPE_CHECKING:
    from hf_mtl.model import MultiTaskModel
    from hf_mtl.surgery import Ingredient

from hf_mtl_light.errors import UserError

__all__ = ["merge"]


def merge(
    models: list[str] = typer.Argument(help="Two models or more: run folders or Hub ids.", show_default=False),
    output: Path = typer.Option(..., "--output", "-o", help="The new model's folder.", show_default=False),
    average: bool = typer.Option(False, "--average", help="Average the weights of models of the same tasks."),
    rename: list[str] | None = typer.Option(
        None,
        "--rename",
        help="Another name for a task: old=new for every model that has it, 2:old=new for the second alone.",
        show_default=False,
    ),
    weights: str | None = typer.Option(None, help="With --average: a number a model, with commas.", show_default=False),
    greedy: Path | None = typer.Option(
        None,
        help="With --average: a recipe; models are added, best first, while its validation score does not fall.",
        show_default=False,
    ),
) -> None:
    """Put the heads of several models on one encoder, which must be the same in all; or average whole models."""
    for option, given in (("--weights", weights), ("--greedy", greedy)):
        if given is not None and not average:
            raise UserError(f"{option} belongs to --average.")
    if weights is not None and greedy is not None:
        raise UserError("--weights and --greedy contradict each other. Give one of them.")
    check_recipe(greedy)
    for model in models:
        check_model(model)

    from hf_mtl.cli._head_table import ModelSizes, head_table
    from hf_mtl.cli._held_out import validation_scorer
    from hf_mtl.cli._model import load_model, save_changed
    from hf_mtl.cli._tables import soup_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.surgery import average_models, greedy_soup, merge_models

    with quiet_libraries():
        loaded = [load_model(name, merge_adapters=True) for name in models]
        first, *others = [tokenizer and tokenizer.get_vocab() for _, tokenizer in loaded]
        for name, vocabulary in zip(models[1:], others, strict=True):
            if vocabulary != first:
                raise UserError(f"{models[0]!r} and {name!r} have other vocabularies: texts would become other tokens.")
        each = [model for model, _ in loaded]
        for text in rename or ():
            _rename(each, text)
        factors = None if weights is None else _numbers(weights)
        ingredients = None
        if greedy is not None:
            score = validation_scorer(greedy, each[0], loaded[0][1])
            merged, ingredients = greedy_soup(each, score, names=models)
            stdout_console().print(soup_table(ingredients))
        else:
            merged = average_models(each, factors, names=models) if average else merge_models(each)
        save_changed(merged, loaded[0][1], output, made=_made(models, average, factors, ingredients))
    stdout_console().print(head_table(ModelSizes.of_model(merged)))


def _made(
    models: Sequence[str],
    average: bool,
    factors: Sequence[float] | None,
    ingredients: Sequence[Ingredient] | None,
) -> str:
    """Return for the card what the model was made of."""
    from hf_mtl.cli._model import shown_name

    if ingredients is not None:
        kept = ", ".join(shown_name(each.name) for each in ingredients if each.kept)
        return (
            f"The mean of the weights of {kept}: of {len(ingredients)} models those that did not lower the validation "
            "score (a greedy soup). That score is of the rows by which they were chosen."
        )
    if average:
        total = sum(factors or [1.0] * len(models))
        weighted = [
            f"{shown_name(name)} ({factor / total:.3g})"
            for name, factor in zip(models, factors or [1.0] * len(models), strict=True)
        ]
        return f"The weighted mean of the weights of {', '.join(weighted)} (a soup)."
    return f"The heads of {', '.join(map(shown_name, models))} on the encoder that they share."


def _rename(models: list[MultiTaskModel], text: str) -> None:
    """Rename a task of one model, or of all that have it, as ``old=new`` or ``2:old=new`` says."""
    from hf_mtl._names import listed
    from hf_mtl.surgery import rename_head

    first, colon, rest = text.partition(":")
    number = int(first) if colon and first.isascii() and first.isdigit() else None
    old, equals, new = (text if number is None else rest).partition("=")
    if not equals or not old or not new:
        raise UserError(f"--rename takes old=new or 2:old=new, found {text!r}.")
    if number is not None and not 1 <= number <= len(models):
        raise UserError(f"--rename {text}: there is no model {number}. Models: 1 to {len(models)}.")
    chosen = models if number is None else [models[number - 1]]
    having = [model for model in chosen if old in model.task_heads]
    if not having:
        names = dict.fromkeys(name for model in chosen for name in model.task_heads)
        raise UserError(f"--rename {text}: no task {old!r}. Tasks: {listed(names)}.")
    for model in having:
        rename_head(model, old, new)


def _numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"--weights takes numbers with commas between them, found {text!r}.") from None
