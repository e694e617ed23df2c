"""The part of the trainer that weighs tasks: what a step holds, its weights, and what is learned from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_mtl.balancers import Balancer, CosineSketches, GradientBalancer, Step, TaskFacts
from hf_mtl.data import LabelledDataset
from hf_mtl.trainer._balancer_files import load_balancer, save_balancer
from hf_mtl.trainer._balancing_checks import check_balancing
from hf_mtl.trainer._evaluation import EvaluatingTrainer
from hf_mtl.trainer._jacobian import StepJacobian
from hf_mtl.trainer._step_loss import StepCounts, StepLog

__all__ = ["BalancingTrainer"]


@dataclass
class _Running:
    """An optimizer step under way.

    Args:
        step: What the balancer is told of it.
        batches: This rank's micro-batches.
        counts: Its items and rows.
        weights: The factor of each task's mean loss; ``None`` until it is known.
        losses: This rank's part of each task's mean loss so far.
        random_states: The random states before the first forward pass, of the CPU and the device.
        jacobian: The tasks' gradients, of gradient methods.
        sketches: This rank's part of the sketch of each task's gradient, where they are compared.
    """

    step: Step
    batches: Sequence[dict[str, Any]]
    counts: StepCounts
    weights: dict[str, float] | None = None
    losses: dict[str, torch.Tensor] = field(default_factory=dict)
    random_states: list[torch.Tensor] = field(default_factory=list)
    jacobian: StepJacobian | None = None
    sketches: dict[str, torch.Tensor] = field(default_factory=dict)

    def inputs(self, batch: Mapping[str, Any], weights: Mapping[str, float]) -> dict[str, Any]:
        """Return a micro-batch with what makes its losses parts of the step's."""
        factors = {name: torch.tensor(weight, dtype=torch.float64) for name, weight in weights.items()}
        return {**batch, "num_items": self.counts.num_items, "loss_weights": factors}

    def add_losses(self, losses: Mapping[str, torch.Tensor]) -> None:
        for name, loss in losses.items():
            self.losses[name] = self.losses.get(name, 0.0) + loss.detach().double()


class _EndOfStep(TrainerCallback):
    """Calls a function after each step of the optimizer."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._call()


class BalancingTrainer(EvaluatingTrainer):
    """Transformers' trainer with the balancer's weights in the loss, or its gradient in the encoder."""

    balancer: Balancer
    _train_parts: dict[str, LabelledDataset]
    _running: _Running | None = None

    # A training

    def _check_balancing(self) -> None:
        """Refuse batches and modes that the balancer cannot serve; listen to the optimizer.

        Raises:
            ValueError: If there are such.
        """
        is_sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled or self.is_distributed_loading_by_transformers
        labelled = {name: list(part.tasks) for name, part in self._train_parts.items()}
        check_balancing(self.balancer, self.args, labelled, is_sharded)
        self.args.learning_rates_of_heads(self._plain_model.tasks)
        self.add_callback(_EndOfStep(self._end_step))

    def _start_balancing(self) -> None:
        """Begin a training: the balancer and the log know nothing yet."""
        labelled = {task for part in self._train_parts.values() for task in part.tasks}
        self._task_facts = {
            name: TaskFacts(
                name=name,
                is_regression=head.is_regression,
                num_classes=1 if head.is_regression else head.task.num_labels,
                weight=head.task.weight,
                loss_scale=self._loss_scale(head),
            )
            for name, head in self._plain_model.task_heads.items()
            if name in labelled
        }
        self._log_sums = StepLog()
        self._running = None
        if self._task_facts:
            self.balancer.start(list(self._task_facts.values()), self.args.seed)
        self._sketches = CosineSketches(self.args.seed) if self.args.gradient_cosine_steps else None

    def _loss_scale(self, head: Any) -> float:
        scale = head.loss_of_guessing(head.task) if self.args.loss_scaling == "log_classes" else 1.0
        return scale if scale > 0 else 1.0

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return values
        total: torch.Tensor = self.accelerator.reduce(values.to(self.args.device), reduction="sum")
        return total.to(values.device)

    # A step

    def _note_losses(self, losses: Mapping[str, torch.Tensor]) -> None:
        """Note each task's loss of a micro-batch: its part of the step's mean."""
        self._log_sums.add_losses(losses)

    def _begin_step(self, batches: Sequence[dict[str, Any]], counts: StepCounts) -> None:
        """Note what the step holds, before its first micro-batch."""
        self._log_sums.start_step(counts)
        step = Step(self.state.global_step, int(self.state.epoch or 0), counts.shares)
        self._running = _Running(step, batches, counts)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on a micro-batch: see ``transformers.Trainer.training_step``."""
        running = self._running
        if running is not None and running.weights is None and running.jacobian is None:
            model.train()
            if self.balancer.compares_losses:
                running.random_states = self._random_states()
            if not self.balancer.weighs_current_losses:
                running.weights = self._weights(running.step)
            elif len(running.batches) > 1:
                # A step of one micro-batch is weighed by the losses of its own forward pass, in `compute_loss`.
                running.step = replace(running.step, losses=self._measure(model, running))
                running.weights = self._weights(running.step)
        if running is not None and isinstance(self.balancer, GradientBalancer):
            return self._add_gradients(self.balancer, inputs, running)
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the micro-batch's part of the step's loss.

        Args:
            model: The model, as distributed training wrapped it.
            inputs: The batch.
            return_outputs: Whether to return the outputs, too.
            num_items_in_batch: The step's `StepCounts`; ``None``: the batch is the whole step.
        """
        running = self._running if isinstance(num_items_in_batch, StepCounts) else None
        if running is None:
            outputs = model(**inputs)
            loss = outputs.loss
        else:
            outputs = model(**running.inputs(inputs, running.weights or dict.fromkeys(running.counts.shares, 0.0)))
            running.add_losses(outputs.losses)
            loss = outputs.loss
            if running.weights is None:
                running.step = replace(running.step, losses=self._mean_losses(running.losses, running.step))
                weights = running.weights = self._weights(running.step)
                for name, part in outputs.losses.items():
                    loss = loss + weights[name] * part
            self._sketch(outputs.losses, running)
        self._note_losses(outputs.losses)
        # Data-parallel training takes the mean of the ranks' gradients; the loss is a sum over ranks.
        loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _end_step(self) -> None:
        """Let the balancer learn from a step, after the optimizer's."""
        running, self._running = self._running, None
        if running is None or running.weights is None:
            return
        self._log_sums.add_weights(running.weights)
        step, balancer = running.step, self.balancer
        if balancer.observes_losses and not step.losses:
            step = replace(step, losses=self._mean_losses(running.losses, step))
        if balancer.compares_losses:
            step = replace(step, losses_after=self._measure(self.model_wrapped, running))
        finite = [
            name
            for name, loss in step.losses.items()
            if math.isfinite(loss) and math.isfinite(step.losses_after.get(name, 0.0))
        ]
        # From a loss that overflowed there is nothing to learn: the task keeps its weight.
        balancer.update(
            replace(
                step,
                losses={name: step.losses[name] for name in finite},
                losses_after={name: step.losses_after[name] for name in finite if name in step.losses_after},
            )
        )
        if self._sketches is not None and running.sketches:
            names = list(step.shares)
            own = torch.stack([running.sketches.get(name, self._sketches.zeros()) for name in names])
            self._sketches.set(dict(zip(names, self._sum_over_ranks(own), strict=True)))

    def _weights(self, step: Step) -> dict[str, float]:
        """Return the factor of each task's mean loss as it is, before it is scaled."""
        weights = self.balancer.weights(step)
        for name in step.shares:
            if name not in weights or not weights[name] >= 0:
                raise ValueError(
                    f"{type(self.balancer).__name__}.weights gave {weights.get(name)!r} for task {name!r} in step "
                    f"{step.number}. Each task of step.shares needs a number of at least 0."
                )
        return {name: weights[name] / self._task_facts[name].loss_scale for name in step.shares}

    def _mean_losses(self, losses: Mapping[str, torch.Tensor], step: Step) -> dict[str, float]:
        """Return the step's mean losses, scaled, from this rank's parts of them."""
        parts = torch.tensor([float(losses.get(name, 0.0)) for name in step.shares], dtype=torch.float64)
        sums = self._sum_over_ranks(parts).tolist()
        return {name: value / self._task_facts[name].loss_scale for name, value in zip(step.shares, sums, strict=True)}

    def _random_states(self) -> list[torch.Tensor]:
        device = self.args.device
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]

    def _measure(self, model: nn.Module, running: _Running) -> dict[str, float]:
        """Return the step's mean losses by forward passes alone, with the dropout of the real ones."""
        losses: dict[str, torch.Tensor] = {}
        device = self.args.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            for number, state in enumerate(running.random_states):
                torch.cuda.set_rng_state(state, device) if number else torch.set_rng_state(state)
            for batch in running.batches:
                nothing = dict.fromkeys(running.counts.shares, 0.0)
                outputs = model(**running.inputs(self._prepare_inputs(batch), nothing))
                for name, loss in outputs.losses.items():
                    losses[name] = losses.get(name, 0.0) + loss.double()
        return self._mean_losses(losses, running.step)

    # Gradients

    def _add_gradients(self, balancer: GradientBalancer, inputs: dict[str, Any], running: _Running) -> torch.Tensor:
        """Take a micro-batch's part of each task's gradient; with the last one, give the encoder its own.

        `DistributedDataParallel` is passed by, whose hooks `torch.autograd.grad` does not call: the ranks' gradients
        are added up here.
        """
        model, weights = self._plain_model, running.weights or {}
        inputs = self._prepare_inputs(inputs)
        model.train()
        if callable(train := getattr(self.optimizer, "train", None)):  # schedule-free optimizers
            train()
        if running.jacobian is None:
            running.jacobian = StepJacobian(
                model.encoder, model.task_heads, list(running.step.shares), balancer.independent_parts
            )
        # What is logged is the mean of the tasks' losses, which no gradient comes from.
        means = {name: weight / len(weights) for name, weight in weights.items()}
        with self.compute_loss_context_manager():
            outputs = model(**running.inputs(inputs, means))
        self._note_losses(outputs.losses)
        items = {name: int(model.task_heads[name].count_items(inputs["labels"][name])) for name in outputs.losses}
        running.jacobian.add({name: loss * weights[name] for name, loss in outputs.losses.items()}, items)
        if self.accelerator.sync_gradients:
            if self.accelerator.num_processes > 1:
                running.jacobian.reduce(self._sum_over_ranks)
            rows = running.jacobian.whole()
            parts = running.jacobian.parts() if balancer.independent_parts > 1 else []
            vector, found = balancer.aggregate(running.step, rows, parts)
            running.jacobian.set_gradient(vector)
            if self._sketches is not None and self._is_compared(running):
                named = zip(running.step.shares, rows, strict=True)
                self._sketches.set({name: self._sketches.sketch([row]) for name, row in named})
            running.weights = {} if found is None else {name: w * weights[name] for name, w in found.items()}
        loss: torch.Tensor = outputs.loss.detach() * self.accelerator.num_processes
        return loss

    def _is_compared(self, running: _Running) -> bool:
        every = self.args.gradient_cosine_steps
        return every is not None and running.step.number % every == 0

    def _sketch(self, losses: Mapping[str, torch.Tensor], running: _Running) -> None:
        """Add a micro-batch's part of each task's gradient to its sketch, in the steps that compare them."""
        if self._sketches is None or not self._is_compared(running):
            return
        parameters = [p for p in self._plain_model.encoder.parameters() if p.requires_grad]
        for name, loss in losses.items():
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            running.sketches[name] = running.sketches.get(name, 0.0) + self._sketches.sketch(gradient)

    def _cosine_log(self) -> dict[str, float]:
        if self._sketches is None:
            return {}
        order = {name: number for number, name in enumerate(self._task_facts)}
        return {
            "gradient_cosine/{}/{}".format(*sorted(pair, key=order.__getitem__)): value
            for pair, value in self._sketches.cosines().items()
        }

    # Checkpoints

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_balancer(Path(output_dir), self.balancer, list(self._task_facts), self._sketches)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            load_balancer(Path(checkpoint), self.balancer, list(self._task_facts), self._sketches)
