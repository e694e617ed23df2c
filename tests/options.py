"""Options of every sampler and balancer, other than the defaults."""

from __future__ import annotations

from typing import Any

__all__ = ["BALANCING", "SAMPLING", "Rows"]


class Rows(dict[str, Any]):
    """A table of a test, with a row for each of a kind; what lacks one fails with what to add.

    Args:
        where: The file and the table.
        rows: The rows.
    """

    def __init__(self, where: str, rows: dict[str, Any]) -> None:
        super().__init__(rows)
        self.where = where

    def __missing__(self, name: str) -> Any:
        raise AssertionError(f"{self.where} has no row for {name!r}: add one.")


#: Options under which each strategy and method differs from its defaults.
SAMPLING = Rows(
    "SAMPLING in tests/options.py",
    {
        "proportional": {},
        "uniform": {},
        "round-robin": {},
        "temperature": {"temperature": 3.5},
        "capped": {"limit": 9, "temperature": 2.0},
        "annealed": {"start": 0.5, "end": 0.1, "stages": 7},
        "fixed": {"shares": {"a": 1, "b": 2.5}},
        "schedule": {"schedule": [[0, {"a": 1, "b": 0}], [0.5, {"a": 1, "b": 1}]]},
        "bandit": {
            "interval": 9,
            "policy": "thompson",
            "reward": "score",
            "mixing": 0.5,
            "step_size": 0.1,
            "forgetting": 0.3,
        },
        "difficulty": {"interval": 9, "references": {"a": 0.5}, "mixing": 0.1},
    },
)
BALANCING = Rows(
    "BALANCING in tests/options.py",
    {
        "fixed": {},
        "equal": {},
        "random": {},
        "geometric": {},
        "uncertainty": {"learning_rate": 0.5},
        "dwa": {"temperature": 4.0, "interval": 3},
        "famo": {"learning_rate": 0.5, "weight_decay": 0.1},
        "gradient": {"aggregator": "cagrad", "c": 0.4},
    },
)
