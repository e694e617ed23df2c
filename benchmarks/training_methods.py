"""What ways to train cost: methods, averages, augmentation and branches; processor time of a step and peak memory.

Every contestant trains the same batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/training_methods.py --encoder ENCODER
"""

from __future__ import annotations

from typing import Any

from reporting import parse
from step_cost import ProcessorClock, compare_costs

#: Name -> arguments of the training. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "r-drop": {"methods": {"r-drop": {}}},
    "fgm": {"methods": {"fgm": {}}},
    "pgd, 3 steps": {"methods": {"pgd": {"steps": 3}}},
    "freelb, 3 points": {"methods": {"freelb": {"steps": 3}}},
    "smart, 1 step": {"methods": {"smart": {}}},
    "mixup": {"methods": {"mixup": {}}},
    "task-adversary": {"methods": {"task-adversary": {"tasks": ["mood"]}}},
    "average of the tail": {"average": {"kind": "tail", "from": 0.0}},
    "moving average": {"average": {"kind": "ema"}},
    "word-masking": {"augmentation": {"word-masking": {}}},
    "two layers for tagging": {"branch_layers": 2},
}


if __name__ == "__main__":
    compare_costs(
        parse(__doc__),
        __file__,
        "What ways to train cost: four tasks in mixed batches",
        ["training", "processor ms a step"],
        CONTESTANTS,
        ["plain", "smart, 1 step", "two layers for tagging"],
        ProcessorClock(),
    )
