"""Which tasks should share: the groups in which tasks gain most from one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import SpectralClustering

__all__ = ["best_groups", "group_gain"]

#: The most tasks whose groups are found exactly.
_EXACT = 14


def group_gain(table: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """Return the sum over tasks of the mean gain from the others of their group; a task alone gains 0.

    Args:
        table: [T, T], gain of row from column; the diagonal is not read.
        groups: Numbers of tasks.

    >>> group_gain(np.array([[0.0, 2.0, 9.0], [4.0, 0.0, 9.0], [9.0, 9.0, 0.0]]), [[0, 1], [2]])
    6.0
    """
    total = 0.0
    for group in groups:
        own = table[np.ix_(group, group)]
        if len(group) > 1:
            total += float(own[~np.eye(len(group), dtype=bool)].sum() / (len(group) - 1))
    return total


def best_groups(table: np.ndarray) -> list[list[int]]:
    """Return the groups of the largest `group_gain`, by the smallest number in each.

    Up to 14 tasks by dynamic programming over all subsets; above by spectral clustering of the mean of both directions,
    with the number of groups of the largest gain.

    Args:
        table: [T, T], gain of row from column; the diagonal is not read.
    """
    gains = np.array(table, dtype=np.float64)
    np.fill_diagonal(gains, 0.0)
    groups = _exact(gains) if len(gains) <= _EXACT else _clustered(gains)
    return sorted(sorted(group) for group in groups)


def _exact(gains: np.ndarray) -> list[list[int]]:
    size = len(gains)
    members = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    value = ((members @ gains) * members).sum(1) / np.maximum(members.sum(1) - 1, 1)
    best, chosen = np.zeros(2**size), np.zeros(2**size, dtype=np.int64)
    for tasks in range(1, 2**size):
        lowest = tasks & -tasks
        subsets = np.array([lowest])  # those that hold the lowest task
        for other in np.flatnonzero(members[tasks ^ lowest]):
            subsets = np.concatenate([subsets, subsets | (1 << int(other))])
        totals = value[subsets] + best[tasks ^ subsets]
        first = int(totals.argmax())
        best[tasks], chosen[tasks] = totals[first], subsets[first]
    groups, left = [], 2**size - 1
    while left:
        own = int(chosen[left])
        groups.append(np.flatnonzero(members[own]).tolist())
        left ^= own
    return groups


def _clustered(gains: np.ndarray) -> list[list[int]]:
    both = (gains + gains.T) / 2
    affinity = np.exp(both / max(float(both.std()), 1e-9))
    found = [[list(range(len(gains)))], [[task] for task in range(len(gains))]]
    for count in range(2, len(gains) // 2 + 1):
        labels = SpectralClustering(count, affinity="precomputed", random_state=0).fit_predict(affinity)
        found.append([np.flatnonzero(labels == label).tolist() for label in np.unique(labels)])
    return max(found, key=lambda groups: group_gain(gains, groups))
