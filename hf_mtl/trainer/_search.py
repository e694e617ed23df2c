"""Searching hyperparameters: any argument in the space, trials judged by the score of all tasks."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from transformers import Trainer

from hf_mtl._names import listed, nearest
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl_light.errors import UserError

__all__ = ["SearchingTrainer"]

#: Arguments that are read once, when the trainer is built: a trial cannot change them.
_READ_ONCE = frozenset(
    {
        *(
            "bf16",
            "fp16",
            "precision",
            "max_length",
            "use_cpu",
            "data_seed",
            "output_dir",
            "tune_thresholds",
            "calibrate",
        ),
        *("gradient_cosine_steps", "load_best_model_at_end", "metric_for_best_model", "neftune_noise_alpha"),
    }
)


class SearchingTrainer(Trainer):
    """Transformers' trainer whose trials may change any argument and are judged by ``eval_score``."""

    args: MultiTaskTrainingArguments

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "maximize",
        backend: Any = None,
        hp_name: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Search hyperparameters for the best ``eval_score``: see ``transformers.Trainer.hyperparameter_search``.

        ``sampling``, ``balancing``, ``batching`` and the other arguments may be in the space. Afterwards the trainer's
        arguments are what they were before.

        Args:
            hp_space: From a trial to arguments and their values; ``None`` is Transformers' own space.
            compute_objective: From metrics to a number; ``None`` is ``eval_score``.
            n_trials: How many trainings.
            direction: Whether to ``"maximize"`` or ``"minimize"`` the number.
            backend: ``"optuna"``, or another that Transformers knows and that is installed.
            hp_name: Names trials.
            kwargs: Passed to the backend, such as ``storage``, ``study_name`` and ``load_if_exists``, by which a
                search that was killed continues, and ``pruner``.

        Raises:
            ValueError: If the space names no argument, or one that trials cannot change.
        """
        given = self.args
        self.args = copy.copy(given)  # trials write into it
        space = None if hp_space is None else _checked(hp_space)
        try:
            return super().hyperparameter_search(
                space, compute_objective or _score_of, n_trials, direction, backend, hp_name, **kwargs
            )
        finally:
            self.args = given


def _checked(hp_space: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Return a space whose names are checked when a trial asks for values."""
    names = [field.name for field in dataclasses.fields(MultiTaskTrainingArguments) if field.init]

    def space(trial: Any) -> dict[str, Any]:
        values = hp_space(trial)
        for name in values:
            if name not in names:
                raise UserError(f"The space names {name!r}, which is no training argument.{nearest(name, names)}")
            if name in _READ_ONCE:
                raise UserError(
                    f"The space names {name!r}, which is read when the trainer is built, so trials cannot change it. "
                    f"Leave it out; so, too: {listed(sorted(_READ_ONCE - {name}))}."
                )
        return values

    return space


def _score_of(metrics: dict[str, float]) -> float:
    return metrics["eval_score"]
