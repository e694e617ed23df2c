"""Training methods in a step: the first pass that they build on, what they add, and its log."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from hf_mtl.data import LabelledDataset, MultiTaskCollator
from hf_mtl.heads import Head
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._random_states import random_states, replayed
from hf_mtl.trainer._step_loss import Reduce
from hf_mtl.training_methods import MicroBatch, TrainingStart, make_methods
from hf_mtl_light.encoding import Row
from hf_mtl_light.errors import UserError

__all__ = ["FirstPass", "StepMethods", "refuse_sharded"]


@dataclass(frozen=True)
class FirstPass:
    """The plain pass over a micro-batch.

    Args:
        inputs: What it was given.
        outputs: What it returned.
        states: The random states before it.
        taught: What rows are taught beside their labels, see `MicroBatch.taught`.
    """

    inputs: dict[str, Any]
    outputs: Any
    states: list[torch.Tensor]
    taught: Mapping[str, torch.Tensor] = field(default_factory=dict)


class StepMethods:
    """The training methods of one training.

    Args:
        args: The training arguments.
        heads: The head of each task with training rows; none where there is nothing to train.

    Raises:
        ValueError: If a method is unknown, or cannot be applied to the tasks.
    """

    def __init__(self, args: MultiTaskTrainingArguments, heads: Mapping[str, Head]) -> None:
        self._args = args
        made = make_methods(args.methods)
        for name, method in made.items():
            if heads:
                method.check(name, heads)
        self._chosen = {name: method for name, method in made.items() if not method.is_off}
        self._methods = dict(self._chosen)
        self._adding = [name for name, method in self._chosen.items() if method.adds_loss]
        self._sums: dict[str, torch.Tensor] = {}
        self._steps = 0
        self._all_steps = 1

    def begin(
        self,
        model: MultiTaskModel,
        datasets: Mapping[str, LabelledDataset],
        collator: MultiTaskCollator,
        epoch_steps: int,
    ) -> None:
        """Let the methods read the models and files that they need, before the first row is read.

        Args:
            model: The model itself.
            datasets: The training datasets.
            collator: Turns rows into a batch.
            epoch_steps: Optimizer steps of an epoch.

        Raises:
            ValueError: If something is missing there.
        """
        if not self._chosen:
            return
        args = self._args
        labelled = {task for dataset in datasets.values() for task in dataset.tasks}
        start = TrainingStart(
            heads={name: head for name, head in model.task_heads.items() if name in labelled},
            datasets=datasets,
            tokenizer=collator.tokenizer,
            image_processor=collator.image_processor,
            max_length=collator.max_length,
            device=args.device,
            steps=args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * epoch_steps),
            changes_rows=bool(args.augmentation),
        )
        self._all_steps = max(start.steps, 1)
        self._methods = {name: method.begin(start) for name, method in self._chosen.items()}

    @property
    def taught_rows(self) -> Callable[[Sequence[Row]], Sequence[Row] | None] | None:
        """What gives rows what they are taught beside their labels: see `TrainingMethod.taught_rows`."""
        teaching = [method for method in self._methods.values() if method.teaches_rows]
        return teaching[0].taught_rows if teaching else None

    @contextmanager
    def _around(self, model: MultiTaskModel, step: int) -> Iterator[None]:
        """Enter what methods put around each pass of a step."""
        heads, progress = model.task_heads, min(step / self._all_steps, 1.0)
        with ExitStack() as contexts:
            for method in self._methods.values():
                taken = {task: head for task, head in heads.items() if method.takes(task)}
                contexts.enter_context(method.around_pass(taken, progress))
            yield

    def first_pass(
        self, run: Callable[[dict[str, Any]], Any], inputs: dict[str, Any], model: MultiTaskModel, step: int
    ) -> FirstPass:
        """Run the plain pass over a micro-batch.

        Args:
            run: Runs the model.
            inputs: What it is given, and what its rows are taught beside their labels.
            model: The model itself.
            step: Number of the optimizer step, from 0.
        """
        taught = inputs.pop("taught", {})
        if not self._methods:
            return FirstPass(inputs, run(inputs), [])
        states = random_states(self._args.device)
        with self._around(model, step):
            return FirstPass(inputs, run({**inputs, "return_judged": True}), states, taught)

    def added(
        self,
        first: FirstPass,
        model: MultiTaskModel,
        forward: Callable[[dict[str, Any]], Any],
        weights: Mapping[str, float],
        step: int,
    ) -> dict[str, torch.Tensor]:
        """Return what is added to the losses of some of a micro-batch's tasks, before it is weighed.

        Further passes run on the model itself: `DistributedDataParallel`, which counts on one pass for each backward
        pass, hangs its hooks onto the parameters, which those passes share.

        Args:
            first: The plain pass.
            model: The model itself.
            forward: Runs it.
            weights: The factor of each task's loss.
            step: Number of the optimizer step, from 0.
        """
        total: dict[str, torch.Tensor] = {}
        if not self._adding:
            return total

        def again(inputs: dict[str, Any]) -> Any:
            with self._around(model, step):
                return forward(inputs)

        batch = MicroBatch(
            model=model,
            heads={name: head for name, head in model.task_heads.items() if name in first.outputs.losses},
            first=first.outputs,
            weights=weights,
            num_items=first.inputs["num_items"],
            step=step,
            seed=self._args.seed,
            inputs=first.inputs,
            forward=again,
            replay=partial(replayed, first.states, self._args.device),
            taught=first.taught,
        )
        for name in self._adding:
            method = self._methods[name]
            taken = batch.of_tasks({task: head for task, head in batch.heads.items() if method.takes(task)})
            if not taken.heads:
                continue
            found = method.added_losses(taken)
            for task, more in found.items():
                total[task] = total[task] + more if task in total else more
                weighted = weights[task] * more.detach().double()
                self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
        return total

    def end_step(self) -> None:
        """Count a step for the log."""
        self._steps += 1

    def take(self, reduce: Reduce) -> dict[str, float]:
        """Return ``added_loss/<method>``, what each added to a step's loss on average since the last call.

        Args:
            reduce: Sums a float64 tensor over ranks.
        """
        if not self._adding or not self._steps:
            return {}
        own = torch.tensor([float(self._sums.get(name, 0.0)) for name in self._adding], dtype=torch.float64)
        found = {
            f"added_loss/{name}": value / self._steps
            for name, value in zip(self._adding, reduce(own).tolist(), strict=True)
        }
        self._sums.clear()
        self._steps = 0
        return found


def refuse_sharded(args: MultiTaskTrainingArguments) -> None:
    """Refuse training methods where parameters are spread over devices.

    Raises:
        ValueError: If there are some.
    """
    if args.methods:
        raise UserError(
            "methods are not supported with FSDP or DeepSpeed: their further passes run on the model itself, whose "
            "parameters are then spread over devices. Leave methods out, or train with plain data parallelism."
        )
