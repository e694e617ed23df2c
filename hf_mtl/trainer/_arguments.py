"""Arguments of multi-task training, on top of Transformers' own."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import TrainingArguments
from transformers.utils import logging

from hf_mtl._names import listed, nearest
from hf_mtl.arguments import MultiTaskFields, check_values
from hf_mtl.compatibility import cpu_has_fast_bfloat16
from hf_mtl.configuration import TaskConfig
from hf_mtl.samplers.plan import StepShape
from hf_mtl.trainer._idle import idle_arguments
from hf_mtl.trainer._refused import refuse_unused
from hf_mtl_light.errors import UserError

__all__ = ["MultiTaskTrainingArguments"]

logger = logging.get_logger(__name__)
# Commands build arguments several times.
_log_once = functools.cache(logger.info)
_warn_once = functools.cache(logger.warning)


@dataclass
class MultiTaskTrainingArguments(MultiTaskFields, TrainingArguments):
    """`transformers.TrainingArguments` and what several tasks need besides: `hf_mtl.arguments.MultiTaskFields`.

    Fields that Transformers' trainer reads and this one has no use for are refused: docs/arguments.md lists them.

    With ``load_best_model_at_end`` and no ``metric_for_best_model``, the best model is the one with the highest
    ``eval_score``, the mean of the tasks' main metrics.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __post_init__(self) -> None:
        MultiTaskFields.__post_init__(self)
        self._choose_precision()
        if self.load_best_model_at_end and self.metric_for_best_model is None:
            self.metric_for_best_model, self.greater_is_better = "score", True
        check_values(vars(self))
        idle = idle_arguments(type(self), vars(self))
        TrainingArguments.__post_init__(self)
        refuse_unused(self)
        for message in idle.values():
            _warn_once(message)

    def learning_rates_of_heads(self, tasks: Sequence[TaskConfig]) -> dict[str, float]:
        """Return the rate of the new layers of each head: given, or ten times the encoder's.

        Args:
            tasks: The model's tasks.

        Raises:
            ValueError: If ``head_learning_rate`` names another task, or one that shares another's head.
        """
        rate = self.head_learning_rate
        names = [task.name for task in tasks if task.tied_to is None]
        if not isinstance(rate, dict):
            return dict.fromkeys(names, 10 * self.learning_rate if rate is None else float(rate))
        for name in rate:
            if name not in names:
                owner = next((task.tied_to for task in tasks if task.name == name), None)
                what = "is no task of the model" if owner is None else f"is tied to the head of {owner!r}"
                raise UserError(
                    f"head_learning_rate names {name!r}, which {what}.{nearest(name, names)} Tasks: {listed(names)}."
                )
        return {name: float(rate.get(name, 10 * self.learning_rate)) for name in names}

    @property
    def step_shape(self) -> StepShape:
        """What an optimizer step is made of, over all processes."""
        return StepShape(
            rows=self.train_batch_size * self.world_size,
            accumulation=self.gradient_accumulation_steps,
            mixed=self.batching == "mixed",
            skip_last=self.dataloader_drop_last,
        )

    @property
    def seed_of_rows(self) -> int:
        """What names the order of the rows, and what is drawn for each: ``data_seed``, or else ``seed``."""
        return self.seed if self.data_seed is None else self.data_seed

    def _choose_precision(self) -> None:
        if self.bf16 or self.fp16 or self.precision == "float32":
            return
        has_gpu = not self.use_cpu and torch.cuda.is_available()
        if self.precision == "auto":
            fast = torch.cuda.is_bf16_supported() if has_gpu else cpu_has_fast_bfloat16()
            other_device = not self.use_cpu and not has_gpu and torch.accelerator.is_available()
            if not fast or other_device:
                return
            _log_once("Computing in bfloat16 autocast, which this machine does fast; precision='float32' forbids it.")
        self.bf16 = True
        # Transformers allows bf16 without a GPU only to those who say that they mean the CPU.
        self.use_cpu = self.use_cpu or not has_gpu
