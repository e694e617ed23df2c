"""``hf-mtl interpolate``: a model between its pretrained encoder and its trained one."""

from __future__ import annotations

from pathlib import Path

import typer

from hf_mtl.cli._early import check_model
from hf_mtl_light.errors import UserError, library_errors_name

__all__ = ["interpolate"]


def interpolate(
    model: str = typer.Argument(help="The trained model: a run folder or a Hub id.", show_default=False),
    encoder: str = typer.Argument(help="The encoder that its training began with.", show_default=False),
    output: Path = typer.Option(..., "--output", "-o", help="The new model's folder.", show_default=False),
    factor: float | None = typer.Option(
        None, help="From 0, the pretrained encoder, to 1, the trained one.", show_default=False
    ),
    recipe: Path | None = typer.Option(
        None,
        help="Choose the factor of 0, 0.1 ... 1 by the score on this recipe's validation rows.",
        show_default=False,
    ),
) -> None:
    """Interpolate a trained encoder with the pretrained one (WiSE-FT); the heads stay as they are."""
    if (factor is None) == (recipe is None):
        raise UserError("Give either --factor, a number from 0 to 1, or --recipe, by whose rows it is chosen.")
    check_model(model)

    from hf_mtl.cli._head_table import ModelSizes, head_table
    from hf_mtl.cli._held_out import validation_scorer
    from hf_mtl.cli._model import load_model, save_changed, shown_name
    from hf_mtl.cli._tables import factor_table
    from hf_mtl.cli._terminal import quiet_libraries, stdout_console
    from hf_mtl.encoder import load_encoder
    from hf_mtl.recipe import one_line
    from hf_mtl.surgery import choose_factor, interpolate_encoder

    with quiet_libraries():
        loaded, tokenizer = load_model(model, merge_adapters=True)
        try:
            with library_errors_name("its files cannot be read"):
                pretrained, _ = load_encoder(encoder)
        except (UserError, OSError) as error:
            raise UserError(f"encoder {encoder!r}: {one_line(error)}") from error
        if recipe is not None:
            score = validation_scorer(recipe, loaded, tokenizer)
            between, factor, scores = choose_factor(loaded, pretrained, score)
            stdout_console().print(factor_table(scores, factor))
        else:
            assert factor is not None
            between = interpolate_encoder(loaded, pretrained, factor)
        chosen = "" if recipe is None else " The factor has the best score on validation rows of those that were tried."
        save_changed(
            between,
            tokenizer,
            output,
            made=f"{shown_name(model)} with its encoder interpolated with the pretrained {shown_name(encoder)} "
            f"(WiSE-FT): {factor:g} of the trained weights, {1 - factor:.4g} of the pretrained ones.{chosen}",
        )
    stdout_console().print(head_table(ModelSizes.of_model(between)))
