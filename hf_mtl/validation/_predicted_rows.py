"""What a model predicts for labelled rows, beside what is true, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_mtl._names import listed, nearest
from hf_mtl.heads import Head
from hf_mtl.metrics import METRICS
from hf_mtl.trainer import LabelledOutputs, MultiTaskTrainer, read_outputs
from hf_mtl_light.errors import UserError

__all__ = ["NEVER_RIGHT", "chosen_tasks", "kind_of_rows", "predicted_rows"]

#: Kinds of predictions that are near or far, not right or wrong.
NEVER_RIGHT = ("values", "targets", "boxes")

#: Columns of the table.
COLUMNS = (
    *("task", "dataset", "row", "text", "text_pair", "reference", "prediction", "right", "loss", "probabilities"),
)


def predicted_rows(
    trainer: MultiTaskTrainer, eval_dataset: Any = None, *, tasks: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return predictions, references and probabilities of all labelled rows, a line for each row and task.

    Args:
        trainer: A trainer of the model.
        eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
        tasks: Names of the tasks; ``None``: all but those of masked tokens.

    Returns:
        ``task``, ``dataset``, ``row`` (its number in the dataset), ``text`` (of words a list), ``text_pair``;
        ``reference`` and ``prediction``: a label, a list of labels, a list of tags (null where a word has none), a
        number or several, the number of a choice, or a text (of references a list of right ones); ``right``: whether
        they are equal, ``None`` of numbers; ``loss``: the row's own, without weights of tasks (NaN of questions and
        choices); ``probabilities``: that of each label in the order of ``TaskConfig.labels``, for tasks of one answer
        a row that have some, else ``None``.

    Raises:
        ValueError: If a task is unknown, or no row labels one.
    """
    names = chosen_tasks(trainer, tasks)
    datasets = trainer._named_datasets(eval_dataset, "validation")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, lines in read_outputs(trainer, datasets, names, _lines):
        found.setdefault(name, []).extend(lines)
    lines = [line for name in names for line in found.get(name, ())]
    if not lines:
        raise UserError(f"No row labels any of the tasks {listed(names)}. Pass labelled rows as eval_dataset.")
    table = pd.DataFrame(lines, columns=list(COLUMNS))
    # Ranks took turns.
    order = {name: number for number, name in enumerate(names)}
    return table.sort_values(
        ["task", "dataset", "row"], key=lambda column: column.map(order) if column.name == "task" else column
    ).reset_index(drop=True)


def chosen_tasks(trainer: MultiTaskTrainer, tasks: Sequence[str] | None) -> list[str]:
    """Return the tasks that are asked for, or all whose rows have one answer each.

    Raises:
        ValueError: If one is unknown, or answers masked tokens.
    """
    heads = trainer._plain_model.task_heads
    possible = [name for name, head in heads.items() if head.level != "mask"]
    for name in tasks or ():
        if name not in possible:
            why = "answers masked tokens" if name in heads else "is no task of this model"
            raise UserError(f"{name!r} {why}.{nearest(name, possible)} Tasks: {listed(possible) or 'none'}.")
    return possible if tasks is None else list(tasks)


def kind_of_rows(head: Head | type[Head], task: Any) -> str:
    """Return what a prediction of a task is, as metrics call it: ``"classes"``, ``"tags"``, ``"values"``, ..."""
    (first, *_), _ = head.default_metrics(task)
    if head.targets(task):
        return "targets"
    return METRICS[first].input_kind if first in METRICS else ""


def _lines(outputs: LabelledOutputs) -> list[dict[str, Any]]:
    head = outputs.head
    task, kind = head.task, kind_of_rows(head, head.task)
    labels = [row.labels[task.name] for row in outputs.rows]
    predictions = head.predictions(outputs.logits, outputs.words)
    references = [head.reference(task, label) for label in labels]
    losses, probabilities = _losses(outputs), _probabilities(outputs)
    lines = []
    for i, row in enumerate(outputs.rows):
        predicted, true = head.comparable([predictions[i]], [references[i]])
        lines.append(
            {
                "task": task.name,
                "dataset": row.dataset,
                "row": row.index,
                "text": row.text,
                "text_pair": row.text_pair,
                "reference": _named(kind, references[i], head),
                "prediction": _named(kind, predictions[i], head),
                "right": None if kind in NEVER_RIGHT else _is_right(kind, predicted, true),
                "loss": losses[i],
                "probabilities": probabilities[i],
            }
        )
    return lines


def _is_right(kind: str, predicted: Sequence[Any], true: Sequence[Any]) -> bool:
    if kind == "answers":
        return all(p in r if r else p == "" for p, r in zip(predicted, true, strict=True))
    return list(predicted) == list(true)


def _named(kind: str, value: Any, head: Head) -> Any:
    """Return a prediction or reference by the names of labels; of boxes those that the task answers."""
    labels = head.task.labels
    if kind == "boxes" and labels:
        least, scores = head.options(head.task).score_threshold, value.get("scores", [1.0] * len(value["labels"]))
        found = zip(value["labels"], value["boxes"], scores, strict=True)
        return [{"label": labels[i], "box": list(box), "score": score} for i, box, score in found if score >= least]
    if kind == "classes" and labels:
        return labels[value]
    if kind == "multilabel" and labels:
        return [label for label, flag in zip(labels, value, strict=True) if flag]
    return value


def _losses(outputs: LabelledOutputs) -> list[float]:
    """Return each row's own loss; NaN where rows are several of the head's: questions and choices."""
    head, logits, labels = outputs.head, outputs.logits, outputs.labels
    if (
        head.reads not in ("text", "image", "joint")
        or len(labels) != len(outputs.rows)
        or len(logits) != len(outputs.rows)
    ):
        return [float("nan")] * len(outputs.rows)
    labels = labels.to(logits.device)
    # A token head takes flat tokens: one row's are its own.
    rows = [
        (logits[i], labels[i]) if head.level == "token" else (logits[i : i + 1], labels[i : i + 1])
        for i in range(len(logits))
    ]
    return [float(head.loss_sum(one, two)) for one, two in rows]


def _probabilities(outputs: LabelledOutputs) -> list[list[float] | None]:
    head = outputs.head
    if head.level != "sequence" or not head.is_calibratable(head.task):
        return [None] * len(outputs.rows)
    table: np.ndarray = outputs.probabilities()[0]
    if len(table) != len(outputs.rows):  # of a label by itself: whether it holds, or not
        table = table[:, 1].reshape(len(outputs.rows), -1)
    found: list[list[float] | None] = list(table.tolist())
    return found
