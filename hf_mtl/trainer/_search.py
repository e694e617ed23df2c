"""Searching hyperparameters: any argument in the space, trials judged by the score of all tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl_light.errors import UserError

__all__ = ["score_of", "trial_space"]

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


def trial_space(hp_space: Callable[[Any], dict[str, Any]] | None) -> Callable[[Any], dict[str, Any]] | None:
    """Return a space whose names are checked when a trial asks for values.

    Args:
        hp_space: From a trial to arguments and their values; ``None`` is Transformers' own space.
    """
    if hp_space is None:
        return None
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


def score_of(metrics: dict[str, float]) -> float:
    """Return what trials are judged by: the score of all tasks."""
    return metrics["eval_score"]
