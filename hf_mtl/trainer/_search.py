"""Searching hyperparameters: any argument in the space, trials judged by the score of all tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from hf_mtl._names import listed, nearest
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["TrialSpace", "score_of", "set_chosen", "trial_space"]

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


class TrialSpace:
    """A space whose names and values are checked when a trial asks for values.

    Args:
        hp_space: From a trial to arguments and their values.
        args: The trainer's arguments, which the values replace.
    """

    def __init__(self, hp_space: Callable[[Any], dict[str, Any]], args: MultiTaskTrainingArguments) -> None:
        self._space, self._args = hp_space, args
        self._names = [field.name for field in dataclasses.fields(args) if field.init]
        #: The arguments of the trial that asked last, by name.
        self.chosen: dict[str, Any] = {}

    def __call__(self, trial: Any) -> dict[str, Any]:
        """Return a trial's values.

        Raises:
            TypeError: If they are no mapping, or one is of another type than the argument.
            ValueError: If one names no argument, or one that trials cannot change, or cannot be its value.
        """
        values = self._space(trial)
        if not isinstance(values, Mapping):
            raise UserTypeError(
                f"hp_space must return a mapping such as {{'learning_rate': 1e-4}}, found {type(values).__name__}."
            )
        for name in values:
            if name not in self._names:
                raise UserError(f"The space names {name!r}, which is no training argument.{nearest(name, self._names)}")
            if name in _READ_ONCE:
                raise UserError(
                    f"The space names {name!r}, which is read when the trainer is built, so trials cannot change it. "
                    f"Leave it out; so, too: {listed(sorted(_READ_ONCE - {name}))}."
                )
        checked = dataclasses.replace(self._args, **values)
        self.chosen = {name: getattr(checked, name) for name in values}
        return dict(values)


def trial_space(
    hp_space: Callable[[Any], dict[str, Any]] | None, args: MultiTaskTrainingArguments
) -> TrialSpace | None:
    """Return a space whose names and values are checked; ``None`` is Transformers' own."""
    return None if hp_space is None else TrialSpace(hp_space, args)


def set_chosen(args: MultiTaskTrainingArguments, space: Any) -> None:
    """Give arguments a trial's values as they are.

    Transformers casts each to the type of the value before: of a warm-up of 0.1 it made 0 steps, of ``"no"`` true.

    Args:
        args: The arguments, as Transformers set them.
        space: The space.
    """
    for name, value in space.chosen.items() if isinstance(space, TrialSpace) else ():
        setattr(args, name, value)


def score_of(metrics: dict[str, float]) -> float:
    """Return what trials are judged by: the score of all tasks."""
    return metrics["eval_score"]
