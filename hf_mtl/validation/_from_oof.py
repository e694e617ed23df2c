"""What out-of-fold probabilities are good for: thresholds without a validation split, and labels that look wrong."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hf_mtl._names import listed, nearest
from hf_mtl.configuration import TaskConfig
from hf_mtl.data import LabelledDataset, StoredPredictions, as_datasets
from hf_mtl.heads import head_class
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer import CalibratedTask, TunedThresholds, calibratable_tasks, calibrate_task, tune_task
from hf_mtl_light.errors import MissingExtraError, UserError
from hf_mtl_light.numerics import calibrated, sigmoid

__all__ = ["calibrate_from_oof", "label_errors", "tune_thresholds_from_oof"]

#: The least probability above 0 that float32, in which the file keeps them, holds exactly enough.
_LEAST = 1e-38


@dataclass(frozen=True)
class _Judged:
    """The labelled rows of a task beside their out-of-fold probabilities.

    Args:
        places: The dataset and the number of each row.
        texts: Their texts, or their words.
        labels: What metrics compare with: see `hf_mtl.heads.Head.reference`.
        probabilities: A number for each label; of tags a list of them for each word, ``None`` where it was not read.
    """

    places: list[tuple[str, int]]
    texts: list[Any]
    labels: list[Any]
    probabilities: list[Any]

    @classmethod
    def of(cls, stored: StoredPredictions, datasets: Any, task: TaskConfig) -> _Judged:
        found = cls([], [], [], [])
        head = head_class(task)
        for name, data in as_datasets(datasets, "train").items():
            if task.name not in data.column_names:
                continue
            dataset = LabelledDataset(name, data, [task], {task.name: head})
            for number, label in dataset.labels(task.name):
                [row] = dataset.read([number])
                found.places.append((name, number))
                found.texts.append(row.text)
                found.labels.append(head.reference(task, label))
                found.probabilities.append(stored.get(name, number, task.name))
        if not found.places:
            raise UserError(f"Task {task.name!r}: no row has a label of it. Pass the training rows of the folds.")
        return found


def tune_thresholds_from_oof(
    model: MultiTaskModel, oof: str | Path, datasets: Any, *, how: str = "per-label"
) -> dict[str, TunedThresholds]:
    """Find the thresholds of multi-label tasks from out-of-fold probabilities, and put them into the model's config.

    So all rows train, and all choose: each is judged by the model that did not see it. A model of all rows is a little
    surer than those of the folds were.

    Args:
        model: The model, trained on all rows, say.
        oof: The ``oof.parquet`` of `cross_validate`.
        datasets: The training rows that were cut into folds, such as ``Recipe.load(file).prepare().train``.
        how: ``"per-label"`` or ``"global"``: see `hf_mtl.MultiTaskTrainer.tune_thresholds`.

    Returns:
        For each multi-label task of the file its thresholds, and its metrics on the rows before and after.

    Raises:
        ValueError: If the file has no multi-label task of the model, or lacks a row.
    """
    stored = StoredPredictions(oof)
    tasks = [task for task in model.tasks if task.is_multi_label and task.name in stored.tasks]
    if not tasks:
        raise UserError(f"{oof}: has no multi-label task of the model. Its tasks: {listed(stored.tasks)}.")
    tuned = {}
    for task in tasks:
        _check_labels(stored, task, oof)
        found = _Judged.of(stored, datasets, task)
        flags = np.array(found.labels, dtype=bool)
        scores = sigmoid(calibrated(_logits(found.probabilities, "sigmoid"), task.calibration_temperature or 1.0))
        tuned[task.name] = tune_task(model, task.name, scores, flags, how)
    return tuned


def calibrate_from_oof(
    model: MultiTaskModel,
    oof: str | Path,
    datasets: Any,
    *,
    tasks: Sequence[str] | None = None,
    coverage: float | Sequence[float] | None = None,
) -> dict[str, CalibratedTask]:
    """Fit temperatures, and thresholds of sets, to out-of-fold probabilities, and put them into the model's config.

    So all rows train, and all calibrate: each is judged by the model that did not see it. Logarithms of probabilities
    are logits but for a number that softmax leaves out, so the temperature is that of the folds' models. A model of all
    rows is a little better than those, and is taken for a little less sure than it may be.

    Args:
        model: The model, trained on all rows, say.
        oof: The ``oof.parquet`` of `cross_validate`.
        datasets: The training rows that were cut into folds, such as ``Recipe.load(file).prepare().train``.
        tasks: Names of the tasks; ``None``: all of the file that have probabilities to calibrate.
        coverage: See `hf_mtl.MultiTaskTrainer.calibrate`.

    Returns:
        For each task its temperature, and what it changed on these rows.

    Raises:
        ValueError: If a task is not in the file or cannot be calibrated, or the file lacks a row.
    """
    stored = StoredPredictions(oof)
    coverages = [coverage] if isinstance(coverage, (int, float)) else coverage or []
    names = calibratable_tasks(model, tasks, coverages)
    if tasks is None:
        names = [name for name in names if name in stored.tasks]
    missing = [name for name in names if name not in stored.tasks]
    if missing or not names:
        raise UserError(
            f"{oof}: has no probabilities of {listed(missing) or 'a task that can be calibrated'}. Its tasks: "
            f"{listed(stored.tasks)}."
        )
    found = {}
    for name in names:
        task, head = model.config.task(name), model.task_heads[name]
        _check_labels(stored, task, oof)
        judged = _Judged.of(stored, datasets, task)
        described = head.describe(task)
        assert described is not None  # calibratable
        units = _words(judged, task) if head.needs_words else _rows(judged)
        logits = _logits([unit["own"] for unit in units], described.function)
        labels = np.array([unit["label"] for unit in units])
        targets = labels if task.is_multi_label else np.eye(task.num_labels)[labels]
        found[name] = calibrate_task(model, name, logits, targets.astype(np.float64), coverages)
    return found


def _logits(probabilities: Sequence[Any], function: str) -> np.ndarray:
    """Return logits [n, C] that give these probabilities."""
    table = np.array(probabilities, dtype=np.float64).clip(_LEAST, 1.0)
    logits: np.ndarray = np.log(table)
    if function == "sigmoid":
        logits = logits - np.log1p(-table.clip(max=1 - 2**-25))  # half of a unit of float32 below 1
    return logits


def label_errors(oof: str | Path, datasets: Any, tasks: Sequence[TaskConfig], name: str) -> pd.DataFrame:
    """Return the labels that look wrong, by confident learning on out-of-fold probabilities; the surest come first.

    Needs cleanlab: ``pip install 'hf-mtl[cleanlab]'``.

    Args:
        oof: The ``oof.parquet`` of `cross_validate`.
        datasets: The training rows that were cut into folds.
        tasks: The tasks, complete with their labels, such as ``Recipe.load(file).prepare().tasks``.
        name: The task: with one label a row, with several, or tags.

    Returns:
        ``dataset``, ``row``, of tags ``word`` (its number in the row), ``text`` (of tags the word), ``given`` label,
        ``suggested`` label, and the ``probability`` of the given one. Of several labels a row ``given`` and
        ``suggested`` are lists, and the probability is the lowest that the labels have to be as they are given.

    Raises:
        ValueError: If the task has no labels, or the file lacks a row.
        ImportError: If cleanlab is missing.

    Source: C. Northcutt, L. Jiang, I. Chuang, Confident Learning, JAIR 70, 2021.
    """
    task = next((task for task in tasks if task.name == name), None)
    if task is None:
        names = [other.name for other in tasks]
        raise UserError(f"{name!r} is no task.{nearest(name, names)} Tasks: {listed(names)}.")
    head = head_class(task)
    if not task.labels or head.is_regression or head.reads == "choices":
        raise UserError(f"Task {name!r}: {task.type} has no classes whose labels could be wrong.")
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.multilabel_classification.filter import find_label_issues as find_in_several
    except ImportError as error:
        raise MissingExtraError("Finding label errors needs cleanlab: pip install 'hf-mtl[cleanlab]'.") from error
    stored = StoredPredictions(oof)
    _check_labels(stored, task, oof)
    found = _Judged.of(stored, datasets, task)
    units = _words(found, task) if head.needs_words else _rows(found)
    labels, probabilities = [unit["label"] for unit in units], np.array([unit["own"] for unit in units])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag")  # of labels that hardly a row has
        options = {"return_indices_ranked_by": "self_confidence", "n_jobs": 1}
        if task.is_multi_label:
            chosen = find_in_several([np.flatnonzero(own).tolist() for own in labels], probabilities, **options)
        else:
            chosen = find_label_issues(np.array(labels), probabilities, **options)
    rows: list[dict[str, Any]] = []
    for unit in (units[int(i)] for i in chosen):
        rows.append({key: unit[key] for key in ("dataset", "row", "word", "text") if key in unit})
        rows[-1] |= _named(task, unit["label"], np.array(unit["own"]))
    columns = ["dataset", "row", *(["word"] if head.needs_words else []), "text", "given", "suggested", "probability"]
    return pd.DataFrame(rows, columns=columns)


def _check_labels(stored: StoredPredictions, task: TaskConfig, path: str | Path) -> None:
    """Refuse probabilities of other labels, or of these in another order."""
    known = stored.labels.get(task.name)
    if known != list(task.labels or ()):
        raise UserError(
            f"{path}, task {task.name!r}: its labels are {listed(known or ()) or 'none'}, and the task's "
            f"{listed(task.labels or ()) or 'none'}. Cross-validate again with the labels of the task."
        )


def _rows(found: _Judged) -> list[dict[str, Any]]:
    columns = (found.places, found.texts, found.labels, found.probabilities)
    return [
        {
            "dataset": name,
            "row": row,
            "text": text if isinstance(text, str) else " ".join(text),
            "label": label,
            "own": own,
        }
        for (name, row), text, label, own in zip(*columns, strict=True)
    ]


def _words(found: _Judged, task: TaskConfig) -> list[dict[str, Any]]:
    """Return the words that have a tag and were read."""
    head = head_class(task)
    spelled = {head.reference(task, [label])[0]: number for number, label in enumerate(task.labels or ())}
    return [
        {"dataset": name, "row": row, "word": i, "text": word, "label": spelled[tag], "own": own}
        for (name, row), words, tags, of_words in zip(
            found.places, found.texts, found.labels, found.probabilities, strict=True
        )
        for i, (word, tag, own) in enumerate(zip(words, tags, of_words, strict=True))
        if tag is not None and own is not None
    ]


def _named(task: TaskConfig, label: Any, own: np.ndarray) -> dict[str, Any]:
    """Return the given and the suggested label, and the probability of the given one."""
    names = task.labels or ()
    if not task.is_multi_label:
        return {"given": names[label], "suggested": names[int(own.argmax())], "probability": float(own[label])}
    flags = np.array(label, dtype=bool)
    given, suggested = (
        [name for name, is_set in zip(names, each, strict=True) if is_set] for each in (flags, own >= 0.5)
    )
    return {"given": given, "suggested": suggested, "probability": float(np.where(flags, own, 1 - own).min())}
