"""What to do with a table of gains: branches, tasks to leave out, weights of sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from hf_mtl.relations._groups import best_groups
from hf_mtl_light.errors import UserError

__all__ = ["Recommendation", "recommend"]

#: A task whose rows lower the others by more than this, in spreads over seeds, is better left out.
_HARM = -1.0


@dataclass(frozen=True)
class Recommendation:
    """What follows from a table of gains.

    Args:
        groups: Names of the tasks that should share a branch.
        left_out: Tasks whose rows lower the other tasks by more than one spread over seeds, on average.
        weights: For each task a factor of how often its rows are drawn, from 0.5 to 2: ``2 ** gain``, where the gain is
            the mean that the others of its group have from it, cut to [-1, 1]; 1 for a task alone.
    """

    groups: list[list[str]]
    left_out: list[str]
    weights: dict[str, float]

    def fragment(self, num_layers: int = 2, datasets: Mapping[str, Sequence[str]] | None = None) -> str:
        """Return the recommendation as lines of a recipe.

        Args:
            num_layers: How many of the top layers each branch has for itself.
            datasets: For each dataset its tasks, whose mean weight it gets; without them no weights are written.
        """
        found: dict[str, Any] = {}
        if len(self.groups) > 1:
            names = [f"group-{number}" for number in range(1, len(self.groups) + 1)]
            found["branches"] = dict.fromkeys(names, num_layers)
            found["tasks"] = {
                task: {"branch": name} for name, group in zip(names, self.groups, strict=True) for task in group
            }
        if datasets:
            means = {name: float(np.mean([self.weights[task] for task in own])) for name, own in datasets.items()}
            found["sampling"] = {
                "strategy": "proportional",
                "weights": {name: round(value, 2) for name, value in means.items()},
            }
        lines = yaml.safe_dump(found, sort_keys=False, allow_unicode=True) if found else ""
        return lines + "".join(f"# better left out: {task!r}\n" for task in self.left_out)


def recommend(table: np.ndarray, tasks: Sequence[str]) -> Recommendation:
    """Return groups, tasks to leave out and weights that a completed table suggests.

    Args:
        table: [T, T], gain of row from column in spreads over seeds, without gaps but on the diagonal.
        tasks: Names of the tasks, as rows and columns are ordered.

    Raises:
        ValueError: If the table has gaps, or another size than there are tasks.
    """
    gains = np.array(table, dtype=np.float64)
    if gains.shape != (len(tasks), len(tasks)):
        raise UserError(f"The table of gains has shape {gains.shape}, expected a row and a column for each task.")
    np.fill_diagonal(gains, 0.0)
    gaps = np.argwhere(~np.isfinite(gains))
    if len(gaps):
        i, j = gaps[0]
        raise UserError(f"Task {tasks[i]!r}: its gain from {tasks[j]!r} is missing. Call complete() first.")
    groups = best_groups(gains)
    given = gains.sum(0) / max(len(tasks) - 1, 1)
    weights = {}
    for group in groups:
        for j in group:
            mean = gains[group, j].sum() / max(len(group) - 1, 1)
            weights[tasks[j]] = float(2 ** np.clip(mean, -1.0, 1.0))
    return Recommendation(
        groups=[[tasks[i] for i in group] for group in groups],
        left_out=[task for task, gain in zip(tasks, given, strict=True) if gain < _HARM],
        weights={task: weights[task] for task in tasks},
    )
