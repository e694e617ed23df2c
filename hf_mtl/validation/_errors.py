"""What a model gets wrong: rows, labels that are confused, entities that are missed or made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from hf_mtl.configuration import TaskConfig
from hf_mtl.heads import Head
from hf_mtl.metrics import calibration_bins, lenient_spans
from hf_mtl.trainer import MultiTaskTrainer
from hf_mtl.validation._predicted_rows import NEVER_RIGHT, kind_of_rows, predicted_rows

__all__ = ["TaskErrors", "errors", "errors_by_task"]


@dataclass(frozen=True)
class TaskErrors:
    """What a task's predictions for labelled rows are like.

    Args:
        task: The task.
        kind: What a prediction is: see `hf_mtl.metrics`.
        rows: All its rows, as `predicted_rows` gives them.
        wrong: Those that are wrong, the highest loss first; of numbers and boxes all, the furthest first.
        labels: For each label, of tags that form entities each type: ``precision``, ``recall``, ``f1``, ``support``
            (how many are true) and ``predicted``; empty where the task has no labels.
        confusion: How often each label (row) was predicted as which (column); of tags word by word. Empty likewise,
            and for any number of labels.
        entities: Entities that were missed, or made up: ``error`` (``"missed"`` or ``"false"``), ``type``, ``entity``,
            ``dataset``, ``row``, ``text``; empty for tasks without entities.
        bins: Of probabilities, what `hf_mtl.metrics.calibration_bins` gives; ``None`` without.
    """

    task: TaskConfig
    kind: str
    rows: pd.DataFrame
    wrong: pd.DataFrame
    labels: pd.DataFrame
    confusion: pd.DataFrame
    entities: pd.DataFrame
    bins: np.ndarray | None

    @property
    def is_judged(self) -> bool:
        """Whether its predictions are right or wrong, not near or far."""
        return self.kind not in NEVER_RIGHT


def errors(trainer: MultiTaskTrainer, eval_dataset: Any = None, *, tasks: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the labelled rows that a model gets wrong, task by task, those with the highest loss first.

    Rows of numbers and boxes are never quite right: all are there, those with the highest loss first.

    Args:
        trainer: A trainer of the model.
        eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
        tasks: Names of the tasks; ``None``: all but those of masked tokens.

    Returns:
        A line for each row and task, with the columns of `predicted_rows`.

    Raises:
        ValueError: If a task is unknown, or no row labels one.
    """
    found = errors_by_task(trainer, eval_dataset, tasks=tasks)
    return pd.concat([of.wrong for of in found.values()], ignore_index=True)


def errors_by_task(
    trainer: MultiTaskTrainer, eval_dataset: Any = None, *, tasks: Sequence[str] | None = None
) -> dict[str, TaskErrors]:
    """Return all that `TaskErrors` says of each task; the arguments are those of `errors`."""
    table = predicted_rows(trainer, eval_dataset, tasks=tasks)
    heads = trainer._plain_model.task_heads
    return {
        str(name): _of_task(heads[str(name)], rows.reset_index(drop=True))
        for name, rows in table.groupby("task", sort=False)
    }


def _of_task(head: Head, rows: pd.DataFrame) -> TaskErrors:
    task, kind = head.task, kind_of_rows(head, head.task)
    is_number = kind in NEVER_RIGHT
    wrong = (rows if is_number else rows[~rows["right"].astype(bool)]).sort_values(
        "loss", ascending=False, kind="stable"
    )
    entities, confusion, labels = _entities(task, kind, rows), pd.DataFrame(), pd.DataFrame()
    pairs = [(true, found) for row in rows.itertuples() for true, found in _pairs(kind, row.reference, row.prediction)]
    if task.labels and kind in ("classes", "tags"):
        names = _names(task, kind, pairs)
        codes = pd.CategoricalDtype(names)
        sides = [pd.Series([pair[side] for pair in pairs], dtype=codes) for side in (0, 1)]
        confusion = pd.crosstab(*sides, dropna=False).reindex(index=names, columns=names, fill_value=0)
        confusion.index.name, confusion.columns.name = "reference", "prediction"
        labels = _report(names, [[pair[0]] for pair in pairs], [[pair[1]] for pair in pairs])
    elif task.labels and kind == "multilabel":
        labels = _report(list(task.labels), list(rows["reference"]), list(rows["prediction"]))
    if kind == "tags" and _has_entities(task):
        spans = [[[span[0] for span in sorted(each)] for each in _spans(row)] for row in rows.itertuples()]
        labels = _entity_report([_spans(row) for row in rows.itertuples()], spans)
    scores, bins = [line for line in rows["probabilities"] if line is not None], None
    if scores and kind in ("classes", "multilabel"):
        bins = calibration_bins(*_as_items(kind, list(task.labels or ()), scores, list(rows["reference"])))
    return TaskErrors(task, kind, rows, wrong.reset_index(drop=True), labels, confusion, entities, bins)


def _pairs(kind: str, true: Any, found: Any) -> list[tuple[Any, Any]]:
    if kind == "tags":
        return [(one, two) for one, two in zip(true, found, strict=True) if one is not None]
    return [(true, found)] if kind == "classes" else []


def _names(task: TaskConfig, kind: str, pairs: Sequence[tuple[Any, Any]]) -> list[str]:
    """Return the labels as predictions spell them, those of tags that the scheme spells otherwise after the others."""
    seen = {name for pair in pairs for name in pair}
    known = [label for label in task.labels or () if kind == "classes" or label in seen]
    return [*known, *sorted(seen - set(known))]


def _report(names: Sequence[str], true: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return a line for each label, of items that have any number of labels."""
    places = {name: number for number, name in enumerate(names)}
    flags = []
    for side in (true, found):
        table = np.zeros((len(side), len(names)), dtype=bool)
        for number, labels in enumerate(side):
            table[number, [places[label] for label in labels]] = True
        flags.append(table)
    precision, recall, f1, support = precision_recall_fscore_support(*flags, average=None, zero_division=0.0)
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": support, "predicted": flags[1].sum(0)}
    return pd.DataFrame(columns, index=pd.Index(names, name="label"))


def _has_entities(task: TaskConfig) -> bool:
    return any(label[:2] in ("B-", "I-", "S-", "E-", "U-", "L-") for label in task.labels or ())


def _spans(row: Any) -> tuple[set[tuple[str, int, int]], set[tuple[str, int, int]]]:
    """Return the entities that are true, and those that were predicted."""
    kept = [(one, two) for one, two in zip(row.reference, row.prediction, strict=True) if one is not None]
    true, found = (lenient_spans([pair[side] for pair in kept]) for side in (0, 1))
    return true, found


def _entity_report(spans: Sequence[tuple[set[Any], set[Any]]], types: Sequence[Any]) -> pd.DataFrame:
    names = sorted({kind for both in types for side in both for kind in side})
    lines = {}
    for name in names:
        true, found, right = (
            sum(span[0] == name for both in spans for span in side(both))
            for side in (lambda both: both[0], lambda both: both[1], lambda both: both[0] & both[1])
        )
        lines[name] = {
            "precision": right / found if found else 0.0,
            "recall": right / true if true else 0.0,
            "f1": 2 * right / (true + found) if true + found else 0.0,
            "support": true,
            "predicted": found,
        }
    columns = ["precision", "recall", "f1", "support", "predicted"]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns).rename_axis("label")


def _entities(task: TaskConfig, kind: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the entities that are wrong, by type, missed ones first."""
    columns = ["error", "type", "entity", "dataset", "row", "text"]
    if kind != "tags" or not _has_entities(task):
        return pd.DataFrame(columns=columns)
    found = []
    for row in rows.itertuples():
        # Words that have no tag are left out of spans, as in the metrics.
        places = [i for i, tag in enumerate(row.reference) if tag is not None]
        words = [row.text[i] for i in places] if isinstance(row.text, list) else [""] * len(places)
        true, predicted = _spans(row)
        for error, spans in (("missed", true - predicted), ("false", predicted - true)):
            for type_, start, stop in sorted(spans, key=lambda span: span[1:]):
                text = " ".join(map(str, row.text)) if isinstance(row.text, list) else row.text
                found.append((type_, error, " ".join(map(str, words[start:stop])), row.dataset, row.row, text))
    table = pd.DataFrame(found, columns=["type", "error", "entity", "dataset", "row", "text"])
    order = table["error"].map({"missed": 0, "false": 1})
    return table.assign(order=order).sort_values(["type", "order"], kind="stable")[columns].reset_index(drop=True)


def _as_items(
    kind: str, labels: Sequence[str], scores: Sequence[Sequence[float]], true: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and what is true, [n, C]; a label by itself is an item of two classes."""
    table = np.array(scores, dtype=np.float64)
    right = [[float(label in of if kind == "multilabel" else label == of) for label in labels] for of in true]
    truth = np.array(right, dtype=np.float64)
    if kind == "classes":
        return table, truth
    table, truth = table.ravel(), truth.ravel()
    return np.stack([1 - table, table], -1), np.stack([1 - truth, truth], -1)
