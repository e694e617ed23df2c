"""Which of twelve tasks help which: short runs of pairs, what the completion of their table is worth, and gradients.

``--measure pairs``: half of the pairs are measured and completed, by the tasks' metrics and by their losses; then more
pairs are measured, which the completion has not seen. ``gradients``: one run of all tasks together. ``subsets``: random
sets of 3 to 5 tasks. Each is compared with the gains in pairs that are there. The runs are kept under ``--work``, where
the same command continues them.

    python benchmarks/relations.py --encoder ENCODER --data DATA --work WORK
"""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path

import numpy as np
from generated import inputs
from reporting import parse, report
from scipy.stats import spearmanr
from sharing import SETS
from validation import recipe

from hf_mtl.recipe import Recipe
from hf_mtl.relations import Relations, RelationsPlan

#: Short trainings: small batches and short rows.
_SHORT = {"per_device_train_batch_size": 16, "learning_rate": 1e-3, "max_length": 32}


def twelve(options: Namespace, work: Path) -> Recipe:
    """Return the recipe of all tasks."""
    names = ["trec", "rte", "wikigold"] if options.quick else list(SETS["twelve"])
    tasks = {name: SETS["twelve"][name] for name in names}
    return recipe(options, tasks, work, changes={**_SHORT, "frozen_layers": options.frozen})


def measured(
    options: Namespace, tasks: Recipe, work: Path, measure: str, score: str | None = None, sets: int = 0
) -> Relations:
    """Return the gains by one measure, from the runs that are there and those that are missing."""
    plan = RelationsPlan.plan(tasks, measure=measure, score=score, steps=options.steps)
    if sets:
        budget = len(plan.runs) + max(sets - len(plan.together), 0)
        plan = RelationsPlan.plan(tasks, measure=measure, score=score, steps=options.steps, budget=budget)
    return plan.run(work / measure)


def pairs(options: Namespace, tasks: Recipe, work: Path) -> None:
    """Complete half of the pairs, and judge the completion on entries left out and on pairs measured later."""
    rows = []
    for score in ("metric", "loss"):
        half = measured(options, tasks, work, "pairs", score)
        more = measured(options, tasks, work, "pairs", score, options.pairs)
        done, plain = half.completion, rank_0(half.measured)
        rows.append([score, "pairs left out one by one", int(done.is_measured.sum()), done.rank])
        rows[-1] += figures(
            done.error, done.rank_0_error, done.sign_accuracy, done.rank_0_sign_accuracy, done.mean_error
        )
        later = ~np.isnan(more.measured) & ~done.is_measured
        if later.any():
            truth, known = more.measured[later], half.measured[done.is_measured]
            errors = [float(((table[later] - truth) ** 2).mean() ** 0.5) for table in (done.table, plain)]
            signs = [float((np.sign(table[later]) == np.sign(truth)).mean()) for table in (done.table, plain)]
            spread = float(((known.mean() - truth) ** 2).mean() ** 0.5)
            rows.append([score, "measured later", int(later.sum()), done.rank, *figures(*errors, *signs, spread)])
        report_table(f"Gains in pairs, {score}", more)
    head = ["gains of", "judged on", "entries", "rank", "error", "error of rank 0", "signs right", "of rank 0"]
    report("Completion of half of the pairs", [*head, "error of the mean"], rows, {})


def rank_0(table: np.ndarray) -> np.ndarray:
    """Return a table completed by mean, row and column, whatever rank is better."""
    known = ~np.isnan(table)
    mean = table[known].mean()
    rows, columns = np.zeros(len(table)), np.zeros(len(table))
    for _ in range(30):
        rest = np.where(known, table - mean - columns, 0.0)
        rows = rest.sum(1) / (known.sum(1) + 1.0)
        rest = np.where(known, table - mean - rows[:, None], 0.0)
        columns = rest.sum(0) / (known.sum(0) + 1.0)
    return mean + rows[:, None] + columns


def figures(*numbers: float) -> list[str]:
    """Return errors and parts of signs as they are shown."""
    return [f"{number:.2f}" for number in numbers]


def other(options: Namespace, tasks: Recipe, work: Path, measure: str) -> None:
    """Measure by gradients or subsets, and compare with the pairs that are there."""
    found = measured(options, tasks, work, measure, None if measure == "gradients" else "loss")
    report_table(f"Gains by {measure}", found)
    rows = []
    for score in ("metric", "loss"):
        by_pairs = measured(options, tasks, work, "pairs", score, options.pairs)
        both = ~np.isnan(by_pairs.measured) & ~np.isnan(found.measured)
        one, two = by_pairs.measured[both], found.measured[both]
        rest = [centred(table, both)[both] for table in (by_pairs.measured, found.measured)]
        signs = float((np.sign(one) == np.sign(two)).mean())
        cells = [f"{spearmanr(*pair).statistic:+.2f}" for pair in ((one, two), rest)]
        rows.append([score, int(both.sum()), *cells, f"{signs:.2f}", f"{max((one > 0).mean(), (one < 0).mean()):.2f}"])
    head = ["gains of pairs in", "entries", "rank correlation", "without rows and columns", "signs equal"]
    report(f"Agreement of {measure} with pairs", [*head, "the commoner sign"], rows, {})


def centred(table: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return what mean, row and column leave of the known entries."""
    own = np.where(known, table, math.nan)
    return table - rank_0(own)


def report_table(title: str, found: Relations) -> None:
    """Print a table of gains; those that were not measured are left out."""
    cells = [["" if math.isnan(value) else f"{value:+.1f}" for value in row] for row in found.measured.tolist()]
    rows = [[name, *row] for name, row in zip(found.tasks, cells, strict=True)]
    report(title, ["gain of", *(f"with {name}" for name in found.tasks)], rows, json.loads(json.dumps(found.to_dict())))
    print(found.verdict)


def main() -> None:
    """Measure what was asked for."""
    parser = parse(__doc__)
    parser.add_argument(
        "--measure", nargs="+", choices=["pairs", "gradients", "subsets"], default=["pairs", "gradients"]
    )
    parser.add_argument("--work", type=Path, help="where runs are kept")
    parser.add_argument("--rows", type=int, default=320, help="the most training rows of a dataset")
    parser.add_argument("--test-rows", type=int, default=150, help="the most test rows of a dataset")
    parser.add_argument("--steps", type=int, default=30, help="optimizer steps for each dataset of a run")
    parser.add_argument("--frozen", type=int, default=4, help="how many of the encoder's layers stay as they are")
    parser.add_argument("--pairs", type=int, default=33, help="how many of the pairs are measured at last")
    parser.add_argument("--epochs", type=float, default=3.0, help="without effect: runs are as long as --steps says")
    options = parser.parse_args()
    with inputs(parser, options) as folder:
        if options.quick:
            options.steps, options.pairs, options.frozen = 1, 3, 1
        work = options.work or Path(folder)
        tasks = twelve(options, work)
        for name in options.measure:
            if name == "pairs":
                pairs(options, tasks, work)
            else:
                other(options, tasks, work, name)


if __name__ == "__main__":
    main()
