"""Examples per second of training six tasks: one model for all against stock ``Trainer``s one after another.

Each contestant runs in fresh processes, in turn. Timed are the steps of ``train`` behind its first few, with whatever
the trainer does between them; the stock side's texts are tokenised beforehand. Stock at its defaults computes in
float32 on random batches; at its best in bfloat16 on batches of texts of like length.

    python benchmarks/training_throughput.py --encoder ENCODER --data DATA

With ``--contestant`` one of them runs here, whole epochs if asked, and prints a JSON line: times, loss curves and, with
``--evaluate``, test metrics.
"""

from __future__ import annotations

import json
import statistics
from functools import partial
from typing import Any

from contestants import BATCH_SIZE, CONTESTANTS, TASKS, run
from generated import inputs
from reporting import fresh, in_turn, parse, report


def rate(runs: list[dict[str, Any]], name: str | None = None) -> float:
    """Return the rows a second of a contestant over all its runs, of one task or over an epoch of all."""
    parts = [part for run in runs for task, part in run.items() if name in (None, task)]
    steps = sum(part["epoch_steps"] for part in parts)
    return BATCH_SIZE * steps / sum(part["epoch_steps"] * part["seconds_a_step"] for part in parts)


def main() -> None:
    """Take turns and print the table."""
    parser = parse(__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.12, help="part of the epochs that each run trains")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--contestant", choices=CONTESTANTS)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--evaluate", action="store_true")
    options = parser.parse_args()
    options.cpu = not options.gpu
    with inputs(parser, options) as folder:
        if options.contestant:
            options.work = folder
            print(json.dumps(run(options)))
            return
        rounds, share = options.rounds, options.share
        names = list(CONTESTANTS)
        if options.quick:
            rounds, share, names = 1, 1.0, ["stock", "hf_mtl"]
        given = ["--encoder", options.encoder, "--data", options.data, "--share", share, *(["--gpu"] * options.gpu)]
        runs = in_turn({name: partial(fresh, __file__, "--contestant", name, *given) for name in names}, rounds)
    base = rate(runs["stock"])
    rows, facts = [], {}
    for name in names:
        ratios = [rate([run]) / rate([other]) for run, other in zip(runs[name], runs["stock"], strict=True)]
        each = [f"{rate(runs[name], task):.0f}" if "all" not in runs[name][0] else "" for task in TASKS]
        total = rate(runs[name])
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([name, f"{total:.1f}", f"{total / base:.2f}", spread, *each])
        facts[name] = {"rows_per_second": total, "against_stock": statistics.median(ratios)}
    head = ["contestant", "rows a second", "against stock", "in single rounds", *TASKS]
    report("Training throughput", head, rows, facts)


if __name__ == "__main__":
    main()
