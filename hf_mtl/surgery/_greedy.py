"""A greedy soup: the mean of those models that do not lower its score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hf_mtl.model import MultiTaskModel
from hf_mtl.surgery._average import aligned_models, mean_of_models
from hf_mtl_light.errors import UserError

__all__ = ["Ingredient", "greedy_soup"]


@dataclass(frozen=True)
class Ingredient:
    """A model that a greedy soup was offered.

    Args:
        name: Its name.
        score: Its own score.
        soup: The score of the soup with it.
        kept: Whether it is in the soup.
    """

    name: str
    score: float
    soup: float
    kept: bool


def greedy_soup(
    models: Sequence[MultiTaskModel], score: Callable[[MultiTaskModel], float], *, names: Sequence[str] | None = None
) -> tuple[MultiTaskModel, list[Ingredient]]:
    """Return the mean of the models that, taken in the order of their scores, do not lower that of the mean.

    So the soup scores at least as high as the best model, on the rows that it was chosen by. Judge it by others.

    Args:
        models: The models, as `average_models` takes them.
        score: Returns a model's score on held-out rows, higher for better.
        names: Names of the models; ``None``: ``model 1`` and so on.

    Returns:
        The soup, and what became of each model, best first.

    Raises:
        ValueError: See `average_models`.

    Source: M. Wortsman et al., Model soups, ICML 2022, recipe 1, https://arxiv.org/abs/2203.05482.
    """
    if len(models) < 2:
        raise UserError(f"A soup needs at least two models, found {len(models)}.")
    aligned = aligned_models(models, names)
    shown = [f"model {number}" for number in range(1, len(models) + 1)] if names is None else list(names)
    scores = [score(model) for model in aligned]
    # A score that is no number comes last; models of equal scores stay in their order.
    order = sorted(range(len(models)), key=lambda i: -scores[i] if scores[i] == scores[i] else float("inf"))
    chosen, found = [order[0]], [Ingredient(shown[order[0]], scores[order[0]], scores[order[0]], True)]
    soup, best = mean_of_models([aligned[order[0]]], [1.0]), scores[order[0]]
    for i in order[1:]:
        offered = mean_of_models([aligned[j] for j in (*chosen, i)], [1.0] * (len(chosen) + 1))
        with_it = score(offered)
        kept = with_it >= best
        found.append(Ingredient(shown[i], scores[i], with_it, kept))
        if kept:
            chosen, soup, best = [*chosen, i], offered, with_it
    return soup, found
