"""What a run's folder says of its test rows, by task and metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hf_mtl.configuration import TaskConfig
from hf_mtl.metrics import METRICS

__all__ = ["is_greater_better", "scores_of"]

#: Of the evaluation itself, not of a task.
_SPEED = ("runtime", "samples_per_second", "steps_per_second", "samples", "loss")


def is_greater_better(metric: str) -> bool:
    """Return whether more of a task's main metric is better: of errors and losses it is not."""
    return metric != "perplexity" and not any(m.greater_is_better is False and n == metric for n, m in METRICS.items())


def scores_of(folder: Path, tasks: Sequence[TaskConfig]) -> dict[tuple[str, str], float]:
    """Return the scores of a run on its test rows: (task, metric) -> value; of all tasks ``("", "score")``."""
    file = folder / "test_results.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    names = sorted((task.name for task in tasks), key=len, reverse=True)
    scores: dict[tuple[str, str], float] = {}
    for key, value in found.items():
        own = key.removeprefix("test_")
        if own == key or own in _SPEED or not isinstance(value, float):
            continue
        # The longest name: a task may be called as the beginning of another.
        task = next((name for name in names if own.startswith(f"{name}_")), "")
        scores[task, own.removeprefix(f"{task}_") if task else own] = value
    return scores
