"""``hf-mtl data``: a look at a recipe's data before it costs."""

from __future__ import annotations

from pathlib import Path

import typer

__all__ = ["data"]


def data(
    recipe: Path = typer.Argument(help="The recipe, a YAML file.", show_default=False),
    overrides: list[str] | None = typer.Argument(
        None, help="Values in place of the recipe's: training.max_length=128", show_default=False
    ),
    strict: bool = typer.Option(False, "--strict", help="Fail if there is anything to warn of."),
) -> None:
    """Look at a recipe's data: lengths, unknown tokens, duplicates, rows in two splits, labels of each split."""
    from hf_mtl.cli._data_tables import label_table, split_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console, write_line
    from hf_mtl.data import remarks_on
    from hf_mtl.recipe import Recipe
    from hf_mtl_light.errors import UserError

    with quiet_libraries():
        prepared = Recipe.load(recipe, overrides or []).prepare()
        looks = prepared.look()
        console = stdout_console()
        if looks:
            console.print(split_table(looks))
        else:
            write_line("No dataset has texts. hf-mtl train RECIPE --dry-run shows rows, labels and shares of all.")
        if (table := label_table(looks, prepared.tasks)).row_count:
            console.print(table)
        remarks = [remark for look in looks for remark in remarks_on(look, prepared.tasks)]
        if strict and remarks:
            more = f" And {len(remarks) - 1} more: see hf-mtl data without --strict." if len(remarks) > 1 else ""
            raise UserError(f"{remarks[0]}{more}")
        for remark in remarks:
            write_line(f"warning: {remark}")
