"""Searching hyperparameters: trials judged by the score of all tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import Trainer

__all__ = ["SearchingTrainer"]


class SearchingTrainer(Trainer):
    """Transformers' trainer whose trials are judged by ``eval_score``."""

    def hyperparameter_search(
        self,
        hp_space: Any = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "maximize",
        backend: Any = None,
        hp_name: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Search hyperparameters for the best ``eval_score``: see ``transformers.Trainer.hyperparameter_search``."""
        return super().hyperparameter_search(
            hp_space, compute_objective or _score_of, n_trials, direction, backend, hp_name, **kwargs
        )


def _score_of(metrics: dict[str, float]) -> float:
    return metrics["eval_score"]
