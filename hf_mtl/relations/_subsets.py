"""Which tasks are trained together to measure gains, and what gains follow from groups of more than two."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np

__all__ = ["choose_pairs", "choose_subsets", "least_sets", "pair_gains", "subset_gains"]

#: The sizes of random subsets.
_SIZES = (3, 4, 5)
_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

Subset = tuple[int, ...]


def least_sets(measure: str, size: int) -> int:
    """Return how many pairs or subsets hold each task once."""
    return math.ceil(size / (2 if measure == "pairs" else max(k for k in _SIZES if k < size)))


def choose_pairs(size: int, wanted: int | None, seed: int) -> list[Subset]:
    """Return random pairs, each task in one at least; the first of more are the same.

    Args:
        size: The number of tasks.
        wanted: How many; ``None``: half of all.
        seed: Names the choice.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(size).tolist()
    covering: list[Subset] = [tuple(sorted((order[i], order[(i + 1) % size]))) for i in range(0, size, 2)]
    all_pairs: list[Subset] = list(combinations(range(size), 2))
    others = [all_pairs[k] for k in generator.permutation(len(all_pairs)) if all_pairs[k] not in covering]
    count = math.ceil(len(all_pairs) / 2) if wanted is None else wanted
    return [*covering, *others][: max(count, len(covering))]


def choose_subsets(size: int, wanted: int | None, seed: int) -> list[Subset]:
    """Return random subsets of 3 to 5 tasks, each task in as many as any other, but for one.

    Args:
        size: The number of tasks, at least 4.
        wanted: How many; ``None``: twice as many as tasks, or all.
        seed: Names the choice.
    """
    sizes = [k for k in _SIZES if k < size]
    generator = np.random.default_rng(seed)
    count = min(2 * size if wanted is None else wanted, sum(math.comb(size, k) for k in sizes))
    chosen: dict[Subset, None] = {}
    used, tries = np.zeros(size, dtype=int), 0
    while len(chosen) < count:
        # As large as can be where few must hold all tasks.
        length = sizes[-1] if count * sizes[0] < size else int(generator.choice(sizes))
        rarity = used + generator.random(size) * (0.9 if tries < 100 else size)
        subset = tuple(sorted(np.argsort(rarity)[:length].tolist()))
        tries += 1
        if subset not in chosen:
            chosen[subset] = None
            used[list(subset)] += 1
            tries = 0
    return list(chosen)


def pair_gains(size: int, scores: Mapping[Subset, Mapping[int, float]]) -> np.ndarray:
    """Return the table [T, T] of gains in pairs; NaN where none was measured.

    Args:
        size: The number of tasks.
        scores: For each pair the gain of both.
    """
    table = np.full((size, size), math.nan)
    for (one, two), gains in scores.items():
        table[one, two], table[two, one] = gains[one], gains[two]
    return table


def subset_gains(size: int, scores: Mapping[Subset, Mapping[int, float]]) -> np.ndarray:
    r"""Return the table [T, T] of gains that explain those of subsets; NaN where two tasks are in no subset together.

    .. math:: \text{gain}_i(S) \approx \sum_{j \in S \setminus i} G_{ij}

    by ridge regression for each task, whose gain alone is 0. The ridge is that of the smallest squared error of
    subsets left out one by one, over all tasks.

    Args:
        size: The number of tasks.
        scores: For each subset the gain of each of its tasks.

    Source: D. Li, H. Nguyen, H. Zhang, Identification of Negative Transfers in Multitask Learning Using Surrogate
    Models, TMLR 2023.
    """
    table = np.full((size, size), math.nan)
    members = [
        np.array([[float(j in subset and j != i) for j in range(size)] for subset in scores if i in subset])
        for i in range(size)
    ]
    gains = [np.array([found[i] for subset, found in scores.items() if i in subset]) for i in range(size)]
    pairs = list(zip(members, gains, strict=True))
    ridge = min(_RIDGES, key=lambda ridge: sum(_left_out_error(*pair, ridge) for pair in pairs if len(pair[0])))
    for i, (design, own) in enumerate(pairs):
        if len(design):
            fitted = np.linalg.solve(design.T @ design + ridge * np.eye(size), design.T @ own)
            table[i] = np.where(design.any(0), fitted, math.nan)
    return table


def _left_out_error(design: np.ndarray, gains: np.ndarray, ridge: float) -> float:
    """Return the sum of squared errors of rows left out one by one."""
    hat = design @ np.linalg.solve(design.T @ design + ridge * np.eye(design.shape[1]), design.T)
    return float((((gains - hat @ gains) / (1 - np.diag(hat))) ** 2).sum())
