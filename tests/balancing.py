"""Steps of made-up losses, and short real trainings, for tests of balancers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainer
from hf_mtl.balancers import Balancer, Step, TaskFacts
from tests.conftest import make_tokenizer
from tests.ranks import arguments
from tests.trainers import make_data, model_without_dropout

__all__ = ["OPTIONS", "Driven", "StepGradients", "drive", "facts", "gradients", "trained"]

#: Options that make a method's weights differ from step to step in a short training.
OPTIONS: dict[str, dict[str, Any]] = {"dwa": {"interval": 1, "temperature": 0.5}, "uncertainty": {"learning_rate": 0.2}}
#: What each task of `hf_mtl.trainers.TASKS` may be given as a vector.
EVEN = {"intent": 0.25, "slots": 0.25, "mood": 0.25, "similarity": 0.25}
#: Aggregator -> options that it cannot do without.
REQUIRED: dict[str, dict[str, Any]] = {
    "cagrad": {"c": 0.5},
    "constant": {"weights": {"intent": 0.1, "slots": 0.2, "mood": 0.3, "similarity": 0.4}},
    "crmogm": {"weighting": "upgrad"},
    "fairgrad": {"alpha": 1.0},
    "krum": {"n_byzantine": 0},
    "trimmedmean": {"trim_number": 1},
}


def facts(*names: str, regression: tuple[str, ...] = ()) -> list[TaskFacts]:
    """Return tasks, those of ``regression`` with a squared error."""
    return [TaskFacts(name, is_regression=name in regression) for name in names]


class Driven:
    """A balancer in a training of made-up losses, and what it has learnt so far.

    Args:
        balancer: The balancer.
        tasks: The tasks with training rows.
        seed: The training's.
    """

    def __init__(self, balancer: Balancer, tasks: list[TaskFacts], seed: int = 3) -> None:
        self.balancer, self.tasks, self.seed = balancer, tasks, seed
        self.state = balancer.begin(tasks)

    def step(self, number: int, epoch: int, shares: Any, losses: Any = (), after: Any = ()) -> Step:
        """Return a step that knows what was learnt."""
        losses, after = dict(losses), dict(after)
        return Step(number, epoch, shares, losses, after, tasks=self.tasks, seed=self.seed, state=self.state)

    def learn(self, step: Step) -> None:
        """Let it learn from a step."""
        self.state = self.balancer.learn(step)


def drive(driven: Driven, series: list[dict[str, float]], first: int = 0, per_epoch: int = 2) -> list[Any]:
    """Let a balancer weigh steps and learn from them; return its weights in each.

    Args:
        driven: The balancer.
        series: For each step the losses of the tasks that it holds; after the step they are a little lower.
        first: Number of the first step.
        per_epoch: Steps of an epoch.
    """
    found = []
    for number, losses in enumerate(series, first):
        shares = {name: 1 / len(losses) for name in losses}
        after = {name: loss * (0.8 + 0.1 / (1 + loss)) for name, loss in losses.items()}
        step = driven.step(number, number // per_epoch, shares, losses, after)
        found.append(driven.balancer.weights(step))
        assert found[-1] == driven.balancer.weights(step), "weights change within a step"
        driven.learn(step)
    return found


class StepGradients(TrainerCallback):
    """Keeps the gradients of every optimizer step, and the weights after it."""

    def __init__(self) -> None:
        self.found: list[dict[str, torch.Tensor]] = []
        self.weights: dict[int, list[torch.Tensor]] = {}

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights[state.global_step] = [p.detach().clone() for p in model.parameters()]


def trained(folder, resume=None, data=None, model=None, trainer_kwargs=None, **kwargs):
    """Train a few steps of mixed batches; return the trainer and what `StepGradients` kept."""
    keeper = StepGradients()
    kwargs = {"batching": "mixed", "max_steps": 3, "logging_steps": 1, **kwargs}
    trainer = MultiTaskTrainer(
        model or model_without_dropout(),
        arguments(folder, **kwargs),
        data or make_data(),
        None,
        make_tokenizer(),
        callbacks=[keeper],
        **{"check_data": False, **(trainer_kwargs or {})},  # of tasks without rows
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer, keeper


def gradients(folder, size, accumulation, **kwargs):
    """Train steps in float64; return the gradients of each."""
    kwargs = {"max_grad_norm": 0.0, "learning_rate": 1e-3, **kwargs}
    kwargs |= {"per_device_train_batch_size": size, "gradient_accumulation_steps": accumulation}
    return trained(folder, model=model_without_dropout().double(), **kwargs)[1].found
