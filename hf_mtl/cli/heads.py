"""``hf-mtl heads``: put heads on a saved model, take them off, rename, reorder and freeze them."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError

__all__ = ["heads"]


class Action(str, Enum):
    """What is done."""

    list = "list"
    add = "add"
    drop = "drop"
    rename = "rename"
    reorder = "reorder"
    labels = "labels"
    freeze = "freeze"
    unfreeze = "unfreeze"


def heads(
    model: str = typer.Argument(help="The model: a run folder or a Hub id.", show_default=False),
    action: Action = typer.Argument(Action.list, help="What to do."),
    names: list[str] | None = typer.Argument(
        None, help="Tasks; for rename the old name and the new one, for reorder all in their order.", show_default=False
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="The changed model's folder; it may be the model's own.", show_default=False
    ),
    type: str = typer.Option("sequence-classification", help="Type of a new task."),
    labels: str | None = typer.Option(
        None, help="Labels of a new task, or the new ones, with commas.", show_default=False
    ),
    tied_to: str | None = typer.Option(
        None, help="A task to whose head a new task is tied, with its type and labels.", show_default=False
    ),
    renamed: list[str] | None = typer.Option(None, help="A label's old and new name: old=new.", show_default=False),
    encoder: bool = typer.Option(False, "--encoder", help="Freeze the whole encoder."),
    layers: list[str] | None = typer.Option(
        None,
        help="Freeze the embeddings and this many of the lowest layers; of one encoder among two: image=8.",
        show_default=False,
    ),
    seed: int = typer.Option(42, min=0, help="Seed of a new head's first weights."),
) -> None:
    """List a model's heads, or change them; what is not named stays bit for bit as it is."""
    from hf_mtl.cli._head_table import ModelSizes, head_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console

    given = names or []
    if action is not Action.list and output is None:
        raise UserError("-o names no folder for the changed model. It may be the model's own.")
    wanted = {Action.list: 0, Action.add: 1, Action.labels: 1, Action.rename: 2}.get(action)
    if wanted is not None and len(given) != wanted:
        raise UserError(f"{action.value} takes {wanted} name(s), found {len(given)}.")
    if action is Action.list and (sizes := ModelSizes.of_folder(Path(model).expanduser())) is not None:
        stdout_console().print(head_table(sizes))
        return

    check_model(model)

    from transformers import set_seed

    from hf_mtl import surgery
    from hf_mtl.cli._model import load_model, save_changed

    listed = None if labels is None else [label.strip() for label in labels.split(",")]
    with quiet_libraries():
        loaded, tokenizer = load_model(model)
        if action is Action.add:
            set_seed(seed)
            if tied_to is None:
                surgery.add_head(loaded, {"name": given[0], "type": type, "labels": listed})
            else:
                owner = loaded.config.task(tied_to)
                surgery.add_head(loaded, replace(owner, name=given[0], tied_to=tied_to))
        elif action is Action.drop:
            surgery.drop_head(loaded, *given)
        elif action is Action.rename:
            surgery.rename_head(loaded, *given)
        elif action is Action.reorder:
            surgery.reorder_heads(loaded, given)
        elif action is Action.labels:
            pairs = dict(_pair(text) for text in renamed or ())
            surgery.change_labels(loaded, given[0], listed or [], renamed=pairs)
        elif action is Action.freeze:
            loaded.freeze(encoder=encoder, layers=_layers(layers or []), heads=given)
        elif action is Action.unfreeze:
            loaded.unfreeze()
        if output is not None and action is not Action.list:
            save_changed(loaded, tokenizer, output)
    stdout_console().print(head_table(ModelSizes.of_model(loaded)))


def _layers(texts: list[str]) -> int | dict[str, int]:
    pairs = dict(text.rpartition("=")[::2] for text in texts)
    if any(not number.isdecimal() for number in pairs.values()) or ("" in pairs and len(texts) > 1):
        raise UserError(f"--layers takes a number, or encoder=number for each encoder, found {' '.join(texts)!r}.")
    numbers = {name: int(number) for name, number in pairs.items()}
    return numbers.get("", 0) if "" in numbers or not numbers else numbers


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old or not new:
        raise UserError(f"--renamed takes old=new, found {text!r}.")
    return old, new
