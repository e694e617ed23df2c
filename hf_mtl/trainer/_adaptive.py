"""How an adaptive sampler learns from the training, and what a checkpoint keeps of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_mtl.data import LabelledDataset
from hf_mtl.samplers import AdaptiveSampler, DatasetSampler
from hf_mtl.samplers.plan import AdaptivePlan
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._step_loss import StepRecord
from hf_mtl_light.errors import UserError

__all__ = ["SamplingFeedback", "check_adaptive", "feedback_of", "resume_feedback", "take_saved"]

#: Under which the state is stored in ``trainer_state.json``, among those of stateful callbacks.
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
        raise UserError(
            f"Adaptive sampling: {workers} loader workers fetch up to {steps} steps ahead, but shares are decided "
            f"every {sampler.interval} steps, one interval ahead. Raise interval to at least {steps}, or lower "
            "dataloader_num_workers."
        )
    if sampler.needs_scores and args.eval_strategy == "no":
        raise UserError(
            f"{type(sampler).__name__} learns from validation scores, and there are none while training. Set "
            f"eval_strategy='steps' and, say, eval_steps={sampler.interval}, and pass an eval_dataset."
        )
    if args.ignore_data_skip:
        raise UserError(
            "Adaptive sampling continues where it stopped: leave ignore_data_skip out. No batch is computed for it."
        )


class SamplingFeedback(TrainerCallback):
    """Gives an `AdaptivePlan` each step's losses and each evaluation's scores, the same on every rank.

    A dataset's loss is the mean of its tasks', its score the mean of their main metrics. In a mixed step a task that
    several datasets label has one loss for all of them.

    Args:
        plan: The plan.
        tasks: The tasks that each dataset labels.
        main_metrics: The main metric of each task.
        homogeneous: Whether a step holds rows of one dataset.
    """

    def __init__(
        self,
        plan: AdaptivePlan,
        tasks: Mapping[str, Collection[str]],
        main_metrics: Mapping[str, str],
        homogeneous: bool,
    ) -> None:
        self.plan = plan
        self._tasks, self._main_metrics = tasks, main_metrics
        self._homogeneous = homogeneous
        self._datasets: Collection[str] = ()
        self._record: StepRecord | None = None

    def start_step(self, record: StepRecord) -> None:
        """Note an optimizer step that begins.

        Args:
            record: What it holds, and its losses as they come.
        """
        self._record = record
        # A rank need not see all datasets of a mixed step; of a homogeneous one it sees the one, if only by a filler.
        self._datasets = set(record.datasets) if self._homogeneous else self._tasks.keys()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Pass on the step's losses, summed over ranks."""
        losses = {} if self._record is None else self._record.means()
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

    # Checkpoints: where Transformers keeps its callbacks' states. It would restore a callback of its kind as a new
    # object without a plan, so the trainer calls these.

    def save(self, state: TrainerState) -> None:
        """Put what was learnt into the state that a checkpoint holds."""
        _callback_states(state)[_STATE] = {"args": {}, "attributes": self.plan.state()}


def feedback_of(
    plan: Any, datasets: Mapping[str, LabelledDataset], main_metrics: Mapping[str, str], homogeneous: bool
) -> SamplingFeedback | None:
    """Return what teaches a plan; ``None`` if it learns nothing.

    Args:
        plan: What is drawn when.
        datasets: The training datasets.
        main_metrics: The main metric of each task that is evaluated.
        homogeneous: Whether a step holds rows of one dataset.
    """
    if not isinstance(plan, AdaptivePlan):
        return None
    return SamplingFeedback(
        plan, {name: dataset.tasks for name, dataset in datasets.items()}, main_metrics, homogeneous
    )


def _callback_states(state: TrainerState) -> dict[str, Any]:
    states: Any = state.stateful_callbacks  # annotated as the list that it is made from
    return cast(dict[str, Any], states)


def take_saved(state: TrainerState) -> Any:
    """Return what a checkpoint's state holds of an adaptive sampler, and take it out; ``None``: nothing."""
    return _callback_states(state).pop(_STATE, None)


def resume_feedback(feedback: SamplingFeedback | None, saved: Any) -> None:
    """Let an adaptive sampler continue from a checkpoint.

    Args:
        feedback: That of this training, if its sampler is an adaptive one.
        saved: What `take_saved` returned.

    Raises:
        ValueError: If the checkpoint is of another strategy.
    """
    if feedback is None:
        return
    if saved is None:
        raise UserError(
            "The checkpoint holds no state of an adaptive sampler: it was trained with another strategy. Resume "
            "with that one, or train from the start."
        )
    feedback.plan.load(saved["attributes"])
