"""What a graph costs each task: its metric on labelled rows, against the model's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from datasets import Dataset

from hf_mtl._names import listed
from hf_mtl.data import LabelledDataset
from hf_mtl.heads import Head
from hf_mtl.metrics import METRICS
from hf_mtl.trainer import TaskScorer
from hf_mtl_light.errors import UserError
from hf_mtl_light.inference import Answerer

__all__ = ["TaskScores", "check_scores", "compare_scores", "score_all", "score_rows"]

#: By task its main metric, the rows scored and the score.
Scores = dict[str, tuple[str, int, float]]
#: Rows that are answered at a time.
_ROWS = 512


@dataclass(frozen=True)
class TaskScores:
    """A task's main metric on labelled rows, by the model and by its graph.

    Args:
        metric: Its name.
        rows: Rows with a label.
        model: The model's score.
        graph: The graph's.
        lost: What the graph loses, in hundredths of the metric ("points"); below 0 where it is better.
    """

    metric: str
    rows: int
    model: float
    graph: float
    lost: float


def score_rows(answerer: Answerer, heads: Mapping[str, Head], datasets: Mapping[str, Dataset]) -> Scores:
    """Return for each task that a dataset labels its main metric, the rows scored and the score.

    Args:
        answerer: Gives the logits of rows.
        heads: The heads of the tasks that are scored.
        datasets: Labelled rows.

    Raises:
        ValueError: If a dataset labels none of the tasks, or a label does not fit.
    """
    tasks, kinds = [head.task for head in heads.values()], {name: type(head) for name, head in heads.items()}
    scorers = {task.name: TaskScorer(task, kinds[task.name]) for task in tasks}
    for dataset, data in datasets.items():
        labelled = LabelledDataset(dataset, data, tasks, kinds)
        for start in range(0, len(data), _ROWS):
            rows = labelled.read(range(start, min(start + _ROWS, len(data))))
            for numbers, encoded, logits in answerer.logits(rows):
                words = [row.words for row in encoded]
                for name in (task for task in labelled.tasks if task in logits):
                    found = heads[name].predictions(
                        torch.from_numpy(logits[name])[None if heads[name].level == "token" else ...], words
                    )
                    kept = [
                        (value, rows[i].labels[name])
                        for i, value in zip(numbers, found, strict=True)
                        if name in rows[i].labels
                    ]
                    scorers[name].add([value for value, _ in kept], [label for _, label in kept], 0.0, 0)
    return {
        name: (scorer.main, scorer.rows, scorer.compute(details=False)["score"])
        for name, scorer in scorers.items()
        if scorer.rows
    }


def score_all(model: Answerer, heads: Mapping[str, Head], datasets: Mapping[str, Dataset]) -> Scores:
    """Score a model, all of whose tasks must be labelled: see `score_rows`.

    Raises:
        ValueError: If a task has no labelled rows: the answers of its graph would be unchecked.
    """
    found = score_rows(model, heads, datasets)
    if missing := [name for name in heads if name not in found]:
        raise UserError(
            f"Tasks {listed(missing)}: no dataset of the check has rows with their labels. Add such rows, or export "
            "the other tasks."
        )
    return found


def compare_scores(
    ours: Scores, graph: Answerer, heads: Mapping[str, Head], datasets: Mapping[str, Dataset]
) -> dict[str, TaskScores]:
    """Score a graph on the rows that its model was scored on: see `score_all`."""
    theirs = score_rows(graph, heads, datasets)
    found = {}
    for name, (metric, rows, score) in ours.items():
        sign = -1 if metric in METRICS and not METRICS[metric].greater_is_better else 1
        lost = 100 * sign * (score - theirs[name][2])
        found[name] = TaskScores(metric, rows, score, theirs[name][2], lost)
    return found


def check_scores(scores: Mapping[str, TaskScores], most_lost: float) -> None:
    """Check that no task loses more than it may.

    Args:
        scores: What `compare_scores` returned.
        most_lost: Points.

    Raises:
        ValueError: If one does; the message names task, metric and scores.
    """
    for name, task in scores.items():
        if not task.lost <= most_lost or math.isnan(task.graph):
            raise UserError(
                f"Task {name!r}: {task.metric} on {task.rows:,} rows is {task.graph:.4f} by the graph and "
                f"{task.model:.4f} by the model, {task.lost:.2f} points less where {most_lost:g} may be lost, so it is "
                "not written. Export in float32, or allow more (--most-lost)."
            )
