"""Which tasks help which: a table of gains, few of them measured, the others completed; and what follows from it.

G[i, j] is how much task i gains when task j is trained with it, in units of the spread over seeds of task i alone.
`relate` measures some entries by short runs of pairs or larger sets, or by one run's gradients; `complete` fills the
table, `recommend` reads groups, tasks to leave out and weights from it.
"""

from __future__ import annotations

from hf_mtl.relations._completion import Completion, complete
from hf_mtl.relations._features import task_features
from hf_mtl.relations._gradients import gradient_gains
from hf_mtl.relations._groups import best_groups, group_gain
from hf_mtl.relations._measure import MEASURES, SCORES, RelationsPlan, relate
from hf_mtl.relations._recommend import Recommendation, recommend
from hf_mtl.relations._relations import Relations
from hf_mtl.relations._subsets import subset_gains

__all__ = [
    "MEASURES",
    "SCORES",
    "Completion",
    "Recommendation",
    "Relations",
    "RelationsPlan",
    "best_groups",
    "complete",
    "gradient_gains",
    "group_gain",
    "recommend",
    "relate",
    "subset_gains",
    "task_features",
]
