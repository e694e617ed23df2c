"""Folds of several datasets at once, so that no text is trained on that is scored."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from datasets import Dataset
from scipy.sparse import coo_array, csr_array
from sklearn.model_selection import StratifiedGroupKFold

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import as_datasets
from hf_mtl.heads import Head, head_class
from hf_mtl.validation._strata import strata_of
from hf_mtl.validation._stratify import IterativeStratifiedKFold
from hf_mtl.validation._texts import text_units
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["Splitter", "make_folds"]

logger = logging.getLogger(__name__)

#: Columns that hold a text of a row, or a list of its words.
_TEXTS = ("text", "tokens", "text_pair")


class Splitter(Protocol):
    """What scikit-learn's splitters have in common."""

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:  # noqa: N803  # scikit-learn's name
        """Yield the numbers of the rows to train on and to score on."""
        ...


def make_folds(
    datasets: Any,
    tasks: Sequence[TaskConfig],
    folds: int | Splitter = 5,
    *,
    group_by: str | Mapping[str, str] | None = None,
    seed: int = 42,
    heads: Mapping[str, type[Head]] | None = None,
) -> dict[str, np.ndarray]:
    """Return the fold that each row is scored in; in all others it is trained on.

    Rows with the same text lie in the same fold, in all datasets and for all tasks: capitals, spaces and the form
    (text or words) make no difference. So do rows whose pictures are the same file, and rows of one group. Folds hold
    as much of each label as each other, as far as that allows: scikit-learn's ``StratifiedGroupKFold`` where rows have
    one label, iterative stratification where they have several labels, tags or tasks; numbers by their fifths.

    Args:
        datasets: The training rows, in any form that the trainer takes.
        tasks: The tasks.
        folds: The number of folds, or a splitter of scikit-learn's that scores each row once. A splitter deals out
            units: the rows that must stay together are one. It is given, for each, its number of rows as ``X``, its
            rarest label as ``y`` and its number as ``groups``.
        group_by: A column whose equal values must stay together, such as a document's or a person's, or its name in
            each dataset; of datasets without it each text is by itself.
        seed: The same seed makes the same folds.
        heads: Further task types and their heads.

    Returns:
        For each dataset [rows] int64, numbers from 0.

    Raises:
        ValueError: If there are fewer texts than folds, no dataset has the column, a splitter leaves a row out or
            scores it twice, or a fold would leave a dataset without training rows.

    >>> from datasets import Dataset
    >>> from hf_mtl import TaskConfig
    >>> rows = Dataset.from_dict({"text": ["a", "b", "A", "c"], "mood": ["good", "bad", "good", "bad"]})
    >>> found = make_folds({"films": rows}, [TaskConfig("mood", "sentiment", labels=["bad", "good"])], 2)["films"]
    >>> bool(found[0] == found[2]), sorted(set(found.tolist()))
    (True, [0, 1])
    """
    by_name = as_datasets(datasets, "train")
    if not by_name:
        raise UserError("Folds need training rows, and there are none.")
    if isinstance(folds, (bool, str)) or not (isinstance(folds, int) or hasattr(folds, "split")):
        raise UserTypeError(f"folds must be a number, or a splitter of scikit-learn's, found {folds!r}.")
    if isinstance(folds, int) and folds < 2:
        raise UserError(f"folds must be at least 2, found {folds}.")
    masked = [task.name for task in tasks if head_class(task, heads).column_is_input]
    texts = {n: [c for c in (*_TEXTS, *masked) if c in data.column_names] for n, data in by_name.items()}
    largest = 1 / (folds if isinstance(folds, int) else 5)
    units, whole = text_units(by_name, texts, _group_columns(by_name, group_by), largest)
    if whole:
        logger.info("Most pairs of %s share a text with others: a pair counts as one text there.", listed(whole))
    count = int(units.max()) + 1 if len(units) else 0
    if isinstance(folds, int) and count < folds:
        what = "texts or groups" if group_by else "texts"
        raise UserError(f"{folds} folds need as many different {what}, and there are {count}. Ask for fewer folds.")
    counts = _label_counts(by_name, tasks, units, count, heads)
    of_units = _dealt(folds, np.bincount(units, minlength=count), counts, seed)
    found, start = {}, 0
    for name, data in by_name.items():
        found[name] = of_units[units[start : start + len(data)]]
        start += len(data)
        if len(data) and (found[name] == found[name][0]).all():
            raise UserError(
                f"Dataset {name!r}: all its {len(data):,} rows lie in one fold, since they share texts or a group, or "
                "are too few: nothing of it would be left to train on. Leave it out, or ask for other folds."
            )
    return found


def _group_columns(by_name: Mapping[str, Dataset], group_by: str | Mapping[str, str] | None) -> dict[str, str]:
    if group_by is None:
        return {}
    asked = dict.fromkeys(by_name, group_by) if isinstance(group_by, str) else group_by
    having = {name: asked[name] for name, data in by_name.items() if asked.get(name) in data.column_names}
    if not having:
        names = list(dict.fromkeys(asked.values()))
        columns = list(dict.fromkeys(column for data in by_name.values() for column in data.column_names))
        hint = nearest(names[0], columns) if names else ""
        raise UserError(f"group_by: no dataset has a column {listed(names)}.{hint} Name one that the source has.")
    return having


def _label_counts(
    by_name: Mapping[str, Dataset],
    tasks: Sequence[TaskConfig],
    units: np.ndarray,
    count: int,
    heads: Mapping[str, type[Head]] | None,
) -> csr_array:
    """Return how often each label of each task and dataset occurs in each unit, [U, K]."""
    known: dict[tuple[str, str, str], int] = {}
    of_units: list[int] = []
    labels: list[int] = []
    start = 0
    for name, data in by_name.items():
        labelled = np.zeros(len(data), bool)
        for row, (task, stratum) in strata_of(name, data, tasks, heads):
            of_units.append(int(units[start + row]))
            labels.append(known.setdefault((name, task, stratum), len(known)))
            labelled[row] = True
        for row in np.flatnonzero(~labelled).tolist():  # spread evenly as well
            of_units.append(int(units[start + row]))
            labels.append(known.setdefault((name, "", ""), len(known)))
        start += len(data)
    shape = (count, max(len(known), 1))
    return csr_array(coo_array((np.ones(len(labels), np.int64), (of_units, labels)), shape=shape))


def _dealt(folds: int | Splitter, sizes: np.ndarray, counts: csr_array, seed: int) -> np.ndarray:
    """Return the fold of each unit."""
    if isinstance(folds, int):
        by_label = counts.tocoo()
        if by_label.nnz == len(sizes):  # one label a unit
            rows = np.repeat(by_label.row, by_label.data)
            y = np.repeat(by_label.col, by_label.data)
            splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The least populated class")
                if np.bincount(y).max() >= folds:
                    splits = [np.unique(rows[test]) for _, test in splitter.split(rows, y, rows)]
                    if all(map(len, splits)):
                        return _folds_of(splits, len(sizes))
        return IterativeStratifiedKFold(folds, seed).folds(sizes, counts)
    rarity = counts.sum(0)
    rarest = [
        int(min(own, key=lambda label: rarity[label]))
        for own in np.split(counts.indices, counts.indptr[1:-1])  # every unit has a label, if only that of none
    ]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The (groups parameter is ignored|least populated class)")
            splits = [test for _, test in folds.split(sizes[:, None], np.array(rarest), np.arange(len(sizes)))]
    except ValueError as error:
        raise UserError(f"folds={folds!r} cannot split {len(sizes):,} texts: {error}") from error
    return _folds_of(splits, len(sizes), folds)


def _folds_of(splits: Sequence[np.ndarray], count: int, splitter: Any = None) -> np.ndarray:
    scored = np.zeros(count, np.int64)
    found = np.zeros(count, np.int64)
    for fold, test in enumerate(splits):
        scored[test] += 1
        found[test] = fold
    if (scored != 1).any():
        raise UserError(
            f"folds={splitter!r} scores {int((scored == 0).sum()):,} texts never and {int((scored > 1).sum()):,} more "
            "than once; each must be scored once. Pass a splitter that does, such as KFold, StratifiedKFold or "
            "GroupKFold."
        )
    return found
