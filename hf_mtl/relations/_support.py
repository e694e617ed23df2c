"""Whether measurements support a grouping: what is completed must be worth something, and gains must exceed chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_mtl.relations._completion import Completion
from hf_mtl.relations._groups import best_groups, group_gain

__all__ = ["reasons_against", "steady_spread"]

#: Tables in which no task helps another; larger than in all of them is one chance in 20.
_TABLES = 19


def steady_spread(variance: np.ndarray) -> np.ndarray:
    """Return spreads [T] over few seeds: half of each variance is that of the typical task."""
    found: np.ndarray = np.sqrt((variance + np.median(variance)) / 2)
    return found


def reasons_against(
    completion: Completion, groups: Sequence[Sequence[int]], *, is_trained: bool, seeds: int | None
) -> list[str]:
    """Return why measurements do not support a grouping; nothing where they do.

    Args:
        completion: The table of gains.
        groups: Numbers of tasks: the best groups of this table.
        is_trained: Whether gains are of scores after a training; those of gradients are not.
        seeds: How many runs each task has alone; ``None``: gains have an error of one spread.
    """
    if not is_trained:
        return ["gradients say what single steps do, and no gain was measured"]
    found = []
    size = len(completion.table)
    is_complete = completion.is_measured.sum() == size * (size - 1)
    if not (is_complete or completion.is_better_than_mean):
        found.append(
            f"on pairs left out the completion is not better than the mean of the others, by more than chance (error "
            f"{completion.error:.2f}, {completion.mean_error:.2f})"
        )
    gain = _gain_of_grouping(completion.table, groups)
    chance = max(_gains_by_chance(completion.is_measured, seeds))
    if gain <= chance:
        found.append(
            f"the groups gain {gain:.1f} in all over one group of all tasks, and up to {chance:.1f} by chance alone"
        )
    return found


def _gain_of_grouping(table: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    return group_gain(table, groups) - group_gain(table, [range(len(table))])


def _gains_by_chance(is_measured: np.ndarray, seeds: int | None) -> list[float]:
    """Return what the best groups gain where scores differ by chance alone."""
    generator, found = np.random.default_rng(0), []
    for _ in range(_TABLES):
        table = generator.normal(size=is_measured.shape)
        if seeds is not None:
            alone = generator.normal(size=(len(table), seeds))
            table = (table - alone.mean(1, keepdims=True)) / steady_spread(alone.var(1, ddof=1))[:, None]
        table = np.where(is_measured, table, 0.0)
        found.append(_gain_of_grouping(table, best_groups(table)))
    return found
