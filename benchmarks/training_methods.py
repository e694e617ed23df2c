"""What training methods cost: processor time of a step and peak memory of each.

Every contestant trains the same batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/training_methods.py --encoder ENCODER
"""

from __future__ import annotations

from typing import Any

from reporting import parse
from step_cost import ProcessorClock, compare_costs

#: Name -> methods. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "r-drop": {"r-drop": {}},
    "fgm": {"fgm": {}},
    "pgd, 3 steps": {"pgd": {"steps": 3}},
    "freelb, 3 points": {"freelb": {"steps": 3}},
    "smart, 1 step": {"smart": {}},
    "task-adversary": {"task-adversary": {"tasks": ["mood"]}},
}


if __name__ == "__main__":
    compare_costs(
        parse(__doc__),
        __file__,
        "What training methods cost: four tasks in mixed batches",
        ["methods", "processor ms a step"],
        {name: {"methods": methods} for name, methods in CONTESTANTS.items()},
        ["plain", "smart, 1 step"],
        ProcessorClock(),
    )
