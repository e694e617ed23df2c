"""How a step's tasks are weighed: by the balancer's weights in the loss, or by its gradient in the encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_mtl.balancers import Aggregation, Balancer, CosineSketches, GradientBalancer, Step, TaskFacts
from hf_mtl.heads import Head
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._balancer_files import Memory, load_balancer, save_balancer
from hf_mtl.trainer._divergence import check_finite_losses
from hf_mtl.trainer._jacobian import StepJacobian
from hf_mtl.trainer._methods import FirstPass, StepMethods
from hf_mtl.trainer._random_states import random_states, replayed
from hf_mtl.trainer._step_loss import StepLog, StepRecord
from hf_mtl_light.errors import UserError

__all__ = ["EndOfStep", "TaskBalancing"]


@dataclass
class _Running:
    """An optimizer step under way.

    Args:
        step: What the balancer knows of it.
        batches: This rank's micro-batches.
        record: Its items, rows and losses.
        weights: The factor of each task's mean loss; ``None`` until it is known.
        random_states: The random states before the first forward pass, of the CPU and the device.
        jacobian: The tasks' gradients, of gradient methods.
        sketches: This rank's part of the sketch of each task's gradient, where they are compared.
    """

    step: Step
    batches: Sequence[dict[str, Any]]
    record: StepRecord
    weights: dict[str, float] | None = None
    random_states: list[torch.Tensor] = field(default_factory=list)
    jacobian: StepJacobian | None = None
    sketches: dict[str, torch.Tensor] = field(default_factory=dict)

    def inputs(self, batch: Mapping[str, Any], weights: Mapping[str, float]) -> dict[str, Any]:
        """Return a micro-batch with what makes its losses parts of the step's."""
        factors = {name: torch.tensor(weight, dtype=torch.float64) for name, weight in weights.items()}
        counted = {"num_items": self.record.counts.num_items, "loss_weights": factors}
        return {**batch, **counted, "return_states": False}


class EndOfStep(TrainerCallback):
    """Calls a function after each step of the optimizer."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def on_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._call()


class TaskBalancing:
    """Weighs the tasks of each step of one training, and lets the balancer learn from it.

    For each step the trainer calls `begin_step`, for each micro-batch `weigh` and then `loss` or `add_gradients`, and
    `end_step` after the optimizer's.

    Args:
        balancer: The balancer.
        heads: The head of each task with training rows; none where there is nothing to train.
        args: The training arguments.
        accelerator: Whose process this is.
        prepare: Puts a batch where the model computes.
        reduce: Sums a float64 tensor over ranks.
        rows: Training rows of each of these tasks.
    """

    def __init__(
        self,
        balancer: Balancer,
        heads: Mapping[str, Head],
        args: MultiTaskTrainingArguments,
        accelerator: Accelerator,
        prepare: Callable[[dict[str, Any]], dict[str, Any]],
        reduce: Callable[[torch.Tensor], torch.Tensor],
        rows: Mapping[str, int],
    ) -> None:
        self.balancer = balancer
        self._args, self._accelerator = args, accelerator
        self._prepare, self._reduce = prepare, reduce
        self._running: _Running | None = None
        self._sketches = CosineSketches(args.seed) if args.gradient_cosine_steps else None
        self.log = StepLog()
        #: What is added to the tasks' losses.
        self.methods = StepMethods(args, heads)
        self._task_facts = {
            name: TaskFacts(
                name=name,
                is_regression=head.is_regression,
                num_classes=1 if head.is_regression else head.task.num_labels,
                weight=head.task.weight,
                loss_scale=self._loss_scale(head),
                rows=rows[name],
            )
            for name, head in heads.items()
        }
        #: What the balancer has learnt, and for gradient methods what their aggregator remembers.
        self._state = balancer.begin(list(self._task_facts.values())) if self._task_facts else {}
        self._aggregation = (
            Aggregation(balancer.recipe, list(self._task_facts)) if isinstance(balancer, GradientBalancer) else None
        )

    def _loss_scale(self, head: Any) -> float:
        scale = head.loss_of_guessing(head.task) if self._args.loss_scaling == "log_classes" else 1.0
        return scale if scale > 0 else 1.0

    @property
    def is_in_step(self) -> bool:
        """Whether a step has started and is not over."""
        return self._running is not None

    @property
    def takes_gradients(self) -> bool:
        """Whether `add_gradients` trains on a micro-batch, and not a backward pass from `loss`."""
        return self._running is not None and self._aggregation is not None

    def begin_step(self, number: int, epoch: int, batches: Sequence[dict[str, Any]], record: StepRecord) -> None:
        """Note what the step holds, before its first micro-batch.

        Args:
            number: Number of the step, from 0.
            epoch: Number of the epoch, from 0.
            batches: This rank's micro-batches.
            record: Its items and rows.
        """
        facts = list(self._task_facts.values())
        step = Step(number, epoch, record.counts.shares, tasks=facts, seed=self._args.seed, state=self._state)
        self._running = _Running(step, batches, record)

    def weigh(self, model: nn.Module) -> None:
        """Find the step's weights before its first micro-batch, where the balancer can by then."""
        running = self._running
        if running is None or running.weights is not None or running.jacobian is not None:
            return
        model.train()
        if self.balancer.compares_losses:
            running.random_states = random_states(self._args.device)
        if not self.balancer.weighs_current_losses:
            running.weights = self._weights(running.step)
        elif len(running.batches) > 1:
            # A step of one micro-batch is weighed by the losses of the forward pass itself, in `loss`.
            running.step = replace(running.step, losses=self._measure(model, running))
            running.weights = self._weights(running.step)

    def loss(self, model: nn.Module, inputs: dict[str, Any], plain: MultiTaskModel) -> tuple[torch.Tensor, Any]:
        """Return a micro-batch's part of the step's loss, and the model's outputs.

        Args:
            model: The model, as distributed training wrapped it.
            inputs: The micro-batch.
            plain: The model itself.
        """
        running = self._running
        assert running is not None
        given = running.inputs(inputs, running.weights or dict.fromkeys(running.step.shares, 0.0))
        first = self.methods.first_pass(lambda inputs: model(**inputs), given, plain, running.step.number)
        outputs = first.outputs
        check_finite_losses(outputs.losses, running.step.number, running.record.datasets, self._args)
        running.record.add_losses(outputs.losses)
        loss: torch.Tensor = outputs.loss
        if running.weights is None:
            running.step = replace(running.step, losses=self._scaled(running.record.means()))
            weights = running.weights = self._weights(running.step)
            for name, task_loss in outputs.losses.items():
                loss = loss + weights[name] * task_loss
        self._sketch(outputs.losses, running, plain)
        for name, more in self._added(first, running.weights, running, plain, lambda inputs: plain(**inputs)).items():
            loss = loss + running.weights[name] * more
        return loss, outputs

    def _added(
        self,
        first: FirstPass,
        weights: Mapping[str, float],
        running: _Running,
        plain: MultiTaskModel,
        forward: Callable[[dict[str, Any]], Any],
    ) -> dict[str, torch.Tensor]:
        """Return what the training methods add to the losses of a micro-batch's tasks, before they are weighed."""
        added = self.methods.added(first, plain, forward, weights, running.step.number)
        check_finite_losses(added, running.step.number, running.record.datasets, self._args)
        return added

    def end_step(self, model: nn.Module) -> None:
        """Let the log and the balancer learn from a step, after the optimizer's."""
        running, self._running = self._running, None
        if running is None or running.weights is None:
            return
        self.log.add_step(running.record, running.weights)
        self.methods.end_step()
        step, balancer = running.step, self.balancer
        if balancer.observes_losses and not step.losses:
            step = replace(step, losses=self._scaled(running.record.means()))
        if balancer.compares_losses:
            step = replace(step, losses_after=self._measure(model, running))
        finite = [
            name
            for name, loss in step.losses.items()
            if math.isfinite(loss) and math.isfinite(step.losses_after.get(name, 0.0))
        ]
        # From a loss that overflowed there is nothing to learn: the task keeps its weight.
        self._state = balancer.learn(
            replace(
                step,
                losses={name: step.losses[name] for name in finite},
                losses_after={name: step.losses_after[name] for name in finite if name in step.losses_after},
            )
        )
        if self._sketches is not None and running.sketches:
            names = list(step.shares)
            own = torch.stack([running.sketches.get(name, self._sketches.zeros()) for name in names])
            self._sketches.set(dict(zip(names, self._reduce(own), strict=True)))

    def _weights(self, step: Step) -> dict[str, float]:
        """Return the factor of each task's mean loss as it is, before it is scaled."""
        weights = self.balancer.weights(step)
        for name in step.shares:
            if name not in weights or not weights[name] >= 0:
                raise UserError(
                    f"{type(self.balancer).__name__}.weights gave {weights.get(name)!r} for task {name!r} in step "
                    f"{step.number}. Each task of step.shares needs a number of at least 0."
                )
        return {name: weights[name] / self._task_facts[name].loss_scale for name in step.shares}

    def _scaled(self, means: Mapping[str, float]) -> dict[str, float]:
        """Return mean losses as the balancer sees them."""
        return {name: value / self._task_facts[name].loss_scale for name, value in means.items()}

    def _measure(self, model: nn.Module, running: _Running) -> dict[str, float]:
        """Return the step's mean losses by forward passes alone, with the dropout of the real ones."""
        measured = StepRecord(running.record.counts, running.record.datasets, self._reduce)
        with replayed(running.random_states, self._args.device), torch.no_grad():
            for batch in running.batches:
                nothing = dict.fromkeys(running.step.shares, 0.0)
                given = running.inputs(self._prepare(batch), nothing)
                given.pop("taught", None)
                measured.add_losses(model(**given).losses)
        return self._scaled(measured.means())

    # Gradients

    def add_gradients(
        self, inputs: dict[str, Any], plain: MultiTaskModel, forward: Callable[[dict[str, Any]], Any]
    ) -> torch.Tensor:
        """Take a micro-batch's part of each task's gradient; with the last one, give the encoder its own.

        `DistributedDataParallel` is passed by, whose hooks `torch.autograd.grad` does not call: the ranks' gradients
        are added up here.

        Args:
            inputs: The micro-batch.
            plain: The model itself.
            forward: Runs the model as the trainer does.

        Returns:
            The micro-batch's part of the mean of the tasks' losses, which is what is logged.
        """
        running, aggregation = self._running, self._aggregation
        assert running is not None
        assert aggregation is not None
        weights = running.weights or {}
        inputs = self._prepare(inputs)
        if running.jacobian is None:
            running.jacobian = StepJacobian(
                plain.parameter_depths(), plain.task_heads, list(running.step.shares), aggregation.independent_subsets
            )
        # What is logged is the mean of the tasks' losses, which no gradient comes from.
        means = {name: weight / len(weights) for name, weight in weights.items()}
        first = self.methods.first_pass(forward, running.inputs(inputs, means), plain, running.step.number)
        outputs = first.outputs
        check_finite_losses(outputs.losses, running.step.number, running.record.datasets, self._args)
        running.record.add_losses(outputs.losses)
        items = {name: int(plain.task_heads[name].count_items(inputs["labels"][name])) for name in outputs.losses}
        added = self._added(first, weights, running, plain, forward)
        losses = {name: loss + added[name] if name in added else loss for name, loss in outputs.losses.items()}
        running.jacobian.add({name: loss * weights[name] for name, loss in losses.items()}, items)
        if self._accelerator.sync_gradients:
            if self._accelerator.num_processes > 1:
                running.jacobian.reduce(self._reduce)
            rows = running.jacobian.whole()
            subsets = running.jacobian.subsets() if aggregation.independent_subsets > 1 else []
            vector, found = aggregation.aggregate(running.step, rows, subsets)
            running.jacobian.set_gradient(vector)
            if self._sketches is not None and self._is_compared(running):
                named = zip(running.step.shares, rows, strict=True)
                self._sketches.set({name: self._sketches.sketch([row]) for name, row in named})
            running.weights = {} if found is None else {name: w * weights[name] for name, w in found.items()}
        loss: torch.Tensor = outputs.loss.detach()
        return loss

    def _is_compared(self, running: _Running) -> bool:
        interval = self._args.gradient_cosine_steps
        return interval is not None and running.step.number % interval == 0

    def _sketch(self, losses: Mapping[str, torch.Tensor], running: _Running, plain: MultiTaskModel) -> None:
        """Add a micro-batch's part of each task's gradient to its sketch, in the steps that compare them."""
        if self._sketches is None or not self._is_compared(running):
            return
        parameters = [p for p in plain.parameter_depths() if p.requires_grad]
        for name, loss in losses.items():
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            running.sketches[name] = running.sketches.get(name, 0.0) + self._sketches.sketch(gradient)

    def compared_gradients(self) -> dict[str, float]:
        """Return norms and cosines of the tasks' gradients that were compared last, as they are logged."""
        if self._sketches is None:
            return {}
        order = {name: number for number, name in enumerate(self._task_facts)}
        return {
            **{f"gradient_norm/{name}": value for name, value in self._sketches.norms().items()},
            **{
                "gradient_cosine/{}/{}".format(*sorted(pair, key=order.__getitem__)): value
                for pair, value in self._sketches.cosines().items()
            },
        }

    # Checkpoints

    def save(self, folder: str) -> None:
        """Write what the balancer remembers into a checkpoint."""
        memory = Memory(self._state, self._aggregation, self._sketches)
        save_balancer(Path(folder), self.balancer, list(self._task_facts), memory)

    def load(self, folder: str) -> None:
        """Let the balancer continue from a checkpoint."""
        memory = Memory(self._state, self._aggregation, self._sketches)
        self._state = load_balancer(Path(folder), self.balancer, list(self._task_facts), memory)
