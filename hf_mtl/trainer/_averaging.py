"""Averages of the weights over the steps of a training: evaluated, saved and answered with in place of the last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from hf_mtl.arguments import WeightAverage, make_average
from hf_mtl.trainer._whole import AVERAGING
from hf_mtl_light.errors import UserError

__all__ = ["Averages", "check_averaging"]

#: Prefixes of the tensors in a checkpoint's file.
_AVERAGE, _TRAINING = "average/", "training/"


class Averages(TrainerCallback):
    """Keeps the averages of all parameters that learn, in float32 or better.

    The weight of a step follows from its number alone, so that a resumed training equals an unbroken one. A parameter
    that is frozen has no average; one that begins to learn later has, until then, been its own average.

    Args:
        unwrap: Takes off what distributed training wraps around a model.
    """

    def __init__(self, unwrap: Callable[[nn.Module], Any]) -> None:
        self._unwrap = unwrap
        self._how: WeightAverage | None = None
        self._start = 0
        self._values: dict[str, torch.Tensor] = {}
        #: The weights that training continues with, while the model holds the averages.
        self._training: dict[str, torch.Tensor] | None = None
        self._loaded: tuple[int, dict[str, torch.Tensor]] | None = None

    # What the training does

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin, from the start or with what a checkpoint held."""
        self._how, self._training, self._values = make_average(args.average), None, {}
        loaded, self._loaded = self._loaded, None
        if self._how is None:
            return
        self._start = self._how.start(state.max_steps)
        if state.global_step <= self._start:
            return
        if loaded is None:
            raise UserError(
                f"The checkpoint of step {state.global_step} holds averaged weights alone (save_only_model), or none: "
                f"{AVERAGING} is missing. Train from the start, or resume from another checkpoint."
            )
        if loaded[0] != self._start:
            raise UserError(
                f"The checkpoint of step {state.global_step} holds a mean from step {loaded[0]} on, and with "
                f"{state.max_steps} steps in all it would begin at step {self._start}. Resume with as many steps as "
                "before, or train from the start."
            )
        self._values = loaded[1]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the weights of what begins to learn."""
        if self._how is not None and state.global_step >= self._start:
            for name, value in self._unwrap(kwargs["model"]).named_parameters():
                if value.requires_grad and name not in self._values:
                    self._values[name] = value.detach().to(_precise(value), copy=True)

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take in a step's weights."""
        if self._how is not None and state.global_step > self._start:
            weight = self._how.step_weight(state.global_step, self._start)
            parameters = dict(self._unwrap(kwargs["model"]).named_parameters())
            for name, average in self._values.items():
                average.lerp_(parameters[name].to(average.dtype), weight)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the averages in the model; the best model's were loaded with it."""
        if not (args.load_best_model_at_end and state.best_model_checkpoint is not None):
            _copy(self._values, self._unwrap(kwargs["model"]))
        self._values = {}

    # What the trainer asks for

    @contextmanager
    def held_by(self, model: nn.Module) -> Iterator[None]:
        """Let the model hold the averages, if there are some, and afterwards its own weights again."""
        if not self._values or self._training is not None:
            yield
            return
        parameters = dict(model.named_parameters())
        self._training = {name: parameters[name].detach().clone() for name in self._values}
        _copy(self._values, model)
        try:
            yield
        finally:
            _copy(self._training, model)
            self._training = None

    def save(self, folder: Path) -> None:
        """Write the averages and the weights that training continues with; called while the model holds the former."""
        if self._training is not None:
            tensors = {_AVERAGE + name: value for name, value in self._values.items()}
            tensors |= {_TRAINING + name: value for name, value in self._training.items()}
            save_file(
                {name: value.contiguous() for name, value in tensors.items()},
                folder / AVERAGING,
                {"start": json.dumps(self._start)},
            )

    def load(self, folder: Path, model: nn.Module) -> None:
        """Read what `save` wrote, and put the training's weights into the model."""
        self._loaded = None
        if not (folder / AVERAGING).is_file():
            return
        parameters = dict(model.named_parameters())
        training: dict[str, torch.Tensor] = {}
        averages: dict[str, torch.Tensor] = {}
        with safe_open(folder / AVERAGING, "pt") as file:
            start = json.loads(file.metadata()["start"])
            for key in file.keys():  # noqa: SIM118  # no mapping
                kind, name = key.split("/", 1)
                if name not in parameters:
                    raise UserError(
                        f"{folder / AVERAGING} holds {name!r}, which the model lacks. Train from the start."
                    )
                value = file.get_tensor(key).to(parameters[name].device)
                (averages if f"{kind}/" == _AVERAGE else training)[name] = value
        _copy(training, model)
        self._loaded = start, averages


def _precise(value: torch.Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)


@torch.no_grad()
def _copy(values: Mapping[str, torch.Tensor], model: nn.Module) -> None:
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        parameters[name].copy_(value)


def check_averaging(args: Any, is_sharded: bool) -> None:
    """Check that weights can be averaged as the arguments say.

    Args:
        args: The training arguments.
        is_sharded: Whether the weights are split over processes: FSDP, DeepSpeed.

    Raises:
        UserError: If they are split, or the optimizer averages by itself.
    """
    if make_average(args.average) is None:
        return
    if is_sharded:
        raise UserError("average: weights that FSDP or DeepSpeed split are not averaged. Leave average or them out.")
    optim = str(getattr(args.optim, "value", args.optim))
    if optim.startswith("schedule_free"):
        raise UserError(
            f"average would be without effect on what optim={optim!r} evaluates: schedule-free "
            "optimizers average by themselves. Leave one out."
        )
