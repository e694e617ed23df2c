"""What balancing costs: time of a step and peak memory of each method, and of comparing gradients.

Every contestant trains the same mixed batches of four tasks on generated rows, in a fresh process, in turn.

    python benchmarks/balancing_cost.py --encoder ENCODER
"""

from __future__ import annotations

from typing import Any

from contestants import Clock
from reporting import parse
from step_cost import compare_costs

#: Name -> arguments. The first is what the others are compared with.
CONTESTANTS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "uncertainty": {"balancing": "uncertainty"},
    "dwa": {"balancing": "dwa"},
    "geometric": {"balancing": "geometric"},
    "geometric, 2 micro-batches": {"balancing": "geometric", "gradient_accumulation_steps": 2},
    "famo": {"balancing": "famo"},
    "gradient: mean": {"balancing": "gradient", "balancing_options": {"aggregator": "mean"}},
    "gradient: upgrad": {"balancing": "gradient", "balancing_options": {"aggregator": "upgrad"}},
    "gradient: pcgrad": {"balancing": "gradient", "balancing_options": {"aggregator": "pcgrad"}},
    "gradient: graddrop": {"balancing": "gradient", "balancing_options": {"aggregator": "graddrop"}},
    "fixed, gradients compared every step": {"gradient_cosine_steps": 1},
}


if __name__ == "__main__":
    compare_costs(
        parse(__doc__),
        __file__,
        "What balancing costs: four tasks in mixed batches",
        ["balancing", "ms a step"],
        CONTESTANTS,
        ["fixed", "famo", "gradient: upgrad"],
        Clock(),
    )
