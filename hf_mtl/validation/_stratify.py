"""Folds that hold as much of each label as each other, where rows have any number of labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

__all__ = ["IterativeStratifiedKFold"]


class IterativeStratifiedKFold:
    """Iterative stratification, with the interface of scikit-learn's splitters.

    The label with the fewest units left is dealt out first; each of its units goes to the fold that lacks most of that
    label, among those to the one that lacks most rows.

    Source: Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data" (2011), algorithm 1.

    Args:
        n_splits: The number of folds.
        random_state: The seed of the order of equal units.
    """

    def __init__(self, n_splits: int = 5, random_state: int = 0) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803  # scikit-learn's name
        """Return the number of folds."""
        return self.n_splits

    def split(
        self,
        X: Any,  # noqa: N803  # scikit-learn's name
        y: Any,
        groups: Any = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the numbers of the units to train on and to score on, fold after fold.

        Args:
            X: [U] the rows of each unit.
            y: [U, K] how often each of K labels occurs in each unit, dense or sparse.
            groups: Passed over: a unit is already what must stay together.
        """
        folds = self.folds(np.asarray(X), csr_array(y))
        for fold in range(self.n_splits):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

    def folds(self, sizes: np.ndarray, counts: csr_array) -> np.ndarray:
        """Return the fold of each unit, [U] int64.

        Args:
            sizes: [U] the rows of each unit.
            counts: [U, K] how often each label occurs in each.
        """
        generator = np.random.default_rng(self.random_state)
        order = generator.permutation(len(sizes))
        order = order[np.argsort(-sizes[order], kind="stable")]  # large units first: later ones even them out
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        wanted = np.tile(counts.sum(0) / self.n_splits, (self.n_splits, 1)).astype(float)
        rows = np.full(self.n_splits, sizes.sum() / self.n_splits)
        folds = np.full(len(sizes), -1, np.int64)
        by_label = counts.tocsc()
        left = np.diff(by_label.indptr).astype(float)

        def deal(unit: int, label: int | None) -> None:
            lacking = rows if label is None else wanted[:, label]
            best = np.flatnonzero(lacking >= lacking.max() - 1e-9)
            best = best[rows[best] >= rows[best].max() - 1e-9]
            fold = int(generator.choice(best))
            folds[unit] = fold
            rows[fold] -= sizes[unit]
            own = slice(counts.indptr[unit], counts.indptr[unit + 1])
            wanted[fold, counts.indices[own]] -= counts.data[own]
            left[counts.indices[own]] -= 1

        while left.any():
            label = int(np.argmin(np.where(left > 0, left, np.inf)))
            units = by_label.indices[by_label.indptr[label] : by_label.indptr[label + 1]]
            units = units[folds[units] < 0]
            for unit in units[np.argsort(rank[units])].tolist():
                deal(unit, label)
        for unit in order[folds[order] < 0].tolist():
            deal(unit, None)
        return folds
