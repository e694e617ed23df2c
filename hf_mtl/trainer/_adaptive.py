"""The part of the trainer that tells an adaptive sampler how training goes, and keeps what it has learnt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState

from hf_mtl.samplers import AdaptivePlan, AdaptiveSampler, DatasetSampler
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._step_loss import Reduce, StepCounts

__all__ = ["AdaptiveTrainer", "SamplingFeedback", "check_adaptive"]

#: Under which the state stands in ``trainer_state.json``, among those of stateful callbacks.
_STATE = "SamplingFeedback"


def check_adaptive(sampler: DatasetSampler, args: MultiTaskTrainingArguments) -> None:
    """Check that an adaptive sampler can decide in time, and on what it needs.

    Raises:
        ValueError: If batches are fetched further ahead than is decided, scores are needed and never computed, or the
            steps trained on before would be trained on again.
    """
    if not isinstance(sampler, AdaptiveSampler):
        return
    # accelerate fetches one batch ahead, the loader ``prefetch_factor`` (2 by default) for each worker.
    workers = args.dataloader_num_workers
    ahead = 1 + workers * (args.dataloader_prefetch_factor or 2)
    steps = -(-ahead // args.gradient_accumulation_steps)
    if sampler.interval < steps:
        raise ValueError(
            f"Adaptive sampling: {workers} loader workers fetch up to {steps} steps ahead, but shares are decided "
            f"every {sampler.interval} steps, one interval ahead. Raise interval to at least {steps}, or lower "
            "dataloader_num_workers."
        )
    if sampler.needs_scores and args.eval_strategy == "no":
        raise ValueError(
            f"{type(sampler).__name__} learns from validation scores, and there are none while training. Set "
            f"eval_strategy='steps' and, say, eval_steps={sampler.interval}, and pass an eval_dataset."
        )
    if args.ignore_data_skip:
        raise ValueError(
            "Adaptive sampling goes on where it stopped: leave ignore_data_skip out. No batch is computed to get there."
        )


class SamplingFeedback(TrainerCallback):
    """Tells an `AdaptivePlan` of each step's losses and each evaluation's scores, the same on every rank.

    A dataset's loss is the mean of its tasks', its score the mean of their main metrics. In a mixed step a task that
    several datasets label has one loss for all of them.

    Args:
        plan: The plan.
        tasks: The tasks that each dataset labels.
        main_metrics: The main metric of each task.
        homogeneous: Whether a step holds rows of one dataset.
        reduce: Sums a float64 tensor over ranks.
    """

    def __init__(
        self,
        plan: AdaptivePlan,
        tasks: Mapping[str, Collection[str]],
        main_metrics: Mapping[str, str],
        homogeneous: bool,
        reduce: Reduce,
    ) -> None:
        self.plan = plan
        self._tasks, self._main_metrics = tasks, main_metrics
        self._homogeneous, self._reduce = homogeneous, reduce
        self._datasets: Collection[str] = ()
        self._drawn: list[str] = []
        self._losses: dict[str, torch.Tensor] = {}

    def start_step(self, datasets: Collection[str], counts: StepCounts) -> None:
        """Note what an optimizer step holds.

        Args:
            datasets: Names of the datasets of this rank's rows.
            counts: The step's counts, over all ranks.
        """
        # A rank need not see all datasets of a mixed step; of a homogeneous one it sees the one, if only by a filler.
        self._datasets = set(datasets) if self._homogeneous else self._tasks.keys()
        self._drawn = list(counts.shares)
        self._losses = {}

    def add_losses(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Note each task's loss of a micro-batch: its part of the step's mean."""
        for name, loss in losses.items():
            self._losses[name] = self._losses.get(name, torch.zeros_like(loss)) + loss.detach()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Hand the step's losses on, summed over ranks."""
        mine = torch.tensor([float(self._losses.get(name, 0.0)) for name in self._drawn], dtype=torch.float64)
        losses = dict(zip(self._drawn, self._reduce(mine).tolist(), strict=True))
        found = {name: [losses[task] for task in self._tasks[name] if task in losses] for name in self._datasets}
        self.plan.end_step(state.global_step, {name: sum(of) / len(of) for name, of in found.items() if of})

    def on_evaluate(
        self, args: Any, state: TrainerState, control: TrainerControl, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Hand an evaluation's scores on."""
        scores = {task: (metrics or {}).get(f"eval_{task}_{main}") for task, main in self._main_metrics.items()}
        found = {
            name: [score for task in tasks if (score := scores.get(task)) is not None]
            for name, tasks in self._tasks.items()
        }
        self.plan.see_scores({name: sum(of) / len(of) for name, of in found.items() if of})


class AdaptiveTrainer(Trainer):
    """Transformers' trainer that saves what an adaptive sampler has learnt with each checkpoint, and resumes it."""

    _feedback: SamplingFeedback | None = None

    def _listen(self, feedback: SamplingFeedback | None) -> None:
        """Put the feedback of this training in place of an earlier one's."""
        self.remove_callback(SamplingFeedback)
        self._feedback = feedback
        if feedback is not None:
            self.add_callback(feedback)

    @property
    def _callback_states(self) -> dict[str, Any]:
        states: Any = self.state.stateful_callbacks  # annotated as the list that it is made from
        return cast(dict[str, Any], states)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self._feedback is not None:
            # Where Transformers keeps its callbacks' states; a callback of its kind would come back from there as a
            # new object that knows no plan.
            self._callback_states[_STATE] = {"args": {}, "attributes": self._feedback.plan.state()}
        super()._save_checkpoint(model, trial)

    def _load_callback_state(self) -> None:
        saved = self._callback_states.pop(_STATE, None)
        super()._load_callback_state()
        if self._feedback is None:
            return
        if saved is None:
            raise ValueError(
                "The checkpoint holds no state of an adaptive sampler: it was trained with another strategy. Resume "
                "with that one, or train from the start."
            )
        self._feedback.plan.load(saved["attributes"])
