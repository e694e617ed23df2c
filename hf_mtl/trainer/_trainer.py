"""The trainer: Transformers' own, wired to task mixtures, exact losses and per-task scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from accelerate import DistributedDataParallelKwargs
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_utils import seed_worker

from hf_mtl.balancers import Balancer
from hf_mtl.data import DatasetMixture, LabelledDataset, MixtureBatchSampler, MultiTaskCollator, as_datasets
from hf_mtl.inference import make_collator
from hf_mtl.model import MultiTaskModel
from hf_mtl.samplers import DatasetSampler, make_sampler
from hf_mtl.samplers.plan import AdaptivePlan, first_and_last_shares
from hf_mtl.trainer._adaptive import SamplingFeedback, check_adaptive, resume_feedback, take_saved
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._balancing import EndOfStep, TaskBalancing
from hf_mtl.trainer._balancing_checks import check_balancing
from hf_mtl.trainer._checkpoints import CheckpointingTrainer
from hf_mtl.trainer._freezing import FreezingCallback
from hf_mtl.trainer._label_statistics import learn_from_labels
from hf_mtl.trainer._learning_rates import split_learning_rates
from hf_mtl.trainer._publishing import PublishingTrainer
from hf_mtl.trainer._scoring import Metric
from hf_mtl.trainer._speed import SpeedCallback
from hf_mtl.trainer._step_loss import CountingCollator, StepCounts, StepRecord
from hf_mtl.trainer._summary import SummaryCallback, training_summary
from hf_mtl.trainer._thresholds import ThresholdTrainer, check_tuning
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["MultiTaskTrainer"]


# The order matters in one place, saving and pushing: CheckpointingTrainer writes a checkpoint aside, and its `_save`
# and `_push_from_checkpoint` decide where and when those of PublishingTrainer run. What is overridden of Transformers'
# private methods is listed in `hf_mtl.trainer._seam`.
class MultiTaskTrainer(CheckpointingTrainer, ThresholdTrainer, PublishingTrainer):
    """Train and evaluate a `MultiTaskModel` on several datasets at once.

    Datasets are read as they are: columns named after tasks hold labels, ``text``, ``text_pair`` or ``tokens`` the
    input, other columns are passed over.

    Logs, besides Transformers' own: ``loss/<task>``, the task's mean loss an item, ``weight/<task>``, the factor that
    it had, ``rows/<dataset>``, the rows drawn since the last log, and ``share/<dataset>``, the share in force.
    `evaluate` gives ``eval_<task>_<metric>``, ``eval_loss`` and ``eval_score``, the mean of the tasks' main metrics.

    Args:
        model: The model.
        args: The arguments; ``None`` takes the defaults.
        train_dataset: A mapping from names to `datasets.Dataset`, or any form that `hf_mtl.data.as_datasets` takes.
        eval_dataset: The same, for `evaluate`.
        processing_class: The model's fast tokenizer.
        metrics: For a task the metrics in place of its own.
        sampler: How often each dataset is drawn, in place of ``args.sampling``; of ``args.sampling_options`` those that
            go with any strategy hold for it, too.
        balancer: How the tasks' losses become one, in place of ``args.balancing``.
        data_collator: Turns rows into a batch, in place of `MultiTaskCollator`.
        model_init: Builds a model for each trial of `hyperparameter_search`.
        callbacks: Further callbacks.
        optimizers: An optimizer and a scheduler, or ``None`` for each.

    Raises:
        ValueError: If a dataset does not fit the tasks, a sampling option not the datasets, a balancer not the batches,
            or there is no tokenizer.
    """

    balancer: Balancer
    _train_parts: dict[str, LabelledDataset]
    _feedback: SamplingFeedback | None = None

    def __init__(
        self,
        model: MultiTaskModel | None = None,
        args: MultiTaskTrainingArguments | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        metrics: Mapping[str, Sequence[Metric]] | None = None,
        sampler: DatasetSampler | None = None,
        balancer: Balancer | None = None,
        data_collator: MultiTaskCollator | None = None,
        model_init: Callable[..., MultiTaskModel] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
    ) -> None:
        args = MultiTaskTrainingArguments() if args is None else args
        if not isinstance(args, MultiTaskTrainingArguments):
            raise UserTypeError(f"args must be MultiTaskTrainingArguments, found {type(args).__name__}.")
        if processing_class is None:
            raise UserError(
                "No tokenizer. Pass processing_class=AutoTokenizer.from_pretrained(name), the encoder's own."
            )
        if args.n_gpu > 1:
            raise UserError(
                "torch.nn.DataParallel cannot split a batch of several tasks. Start one process a GPU instead: "
                "torchrun --nproc_per_node N, or accelerate launch."
            )
        train_parts, eval_parts = as_datasets(train_dataset, "train"), as_datasets(eval_dataset, "validation")
        self._scored_rows = {}
        self._card_fields = {}
        self.tuned_thresholds = {}
        super().__init__(
            model=model,
            args=args,
            data_collator=_no_collator,
            train_dataset=train_parts or None,
            eval_dataset=eval_parts or None,
            processing_class=processing_class,
            model_init=model_init,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        if not isinstance(self._plain_model, MultiTaskModel):
            raise UserTypeError(f"model must be a MultiTaskModel, found {type(self._plain_model).__name__}.")
        self.data_collator: MultiTaskCollator = data_collator or make_collator(
            self._plain_model,
            processing_class,
            args.max_length,
            seed=args.data_seed if args.data_seed is not None else args.seed,
        )
        # `compute_loss` divides by the items of the whole step; a trainer that believes the model to take loss
        # arguments does not divide by the accumulation steps once more.
        self.model_accepts_loss_kwargs = True
        made, self.sampling_rules = make_sampler(args.sampling, args.sampling_options)
        self.sampler = sampler or made
        check_adaptive(self.sampler, args)
        self.metrics = dict(metrics or {})
        for name in self.metrics:
            self._plain_model.config.task(name)
        # Every dataset is checked here, not hours into the training.
        self._train_parts = self._columns(train_parts)
        self._eval_parts = self._columns(eval_parts)
        self._scorers(self._eval_parts)
        if self._train_parts and args.tune_thresholds != "none":
            pairs = ((part, task) for part in self._eval_parts.values() for task in part.tasks)
            labelled = {task for part, task in pairs if any(True for _ in part.labels(task))}
            check_tuning(args.tune_thresholds, self._plain_model.tasks, labelled)
        self.balancer = balancer or args.make_balancer()
        is_sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled or self.is_distributed_loading_by_transformers
        tasks_of = {name: list(part.tasks) for name, part in self._train_parts.items()}
        check_balancing(self.balancer, args, tasks_of, is_sharded)
        args.learning_rates_of_heads(self._plain_model.tasks)
        self._start_balancing()
        self.add_callback(EndOfStep(lambda: self._balancing.end_step(self.model_wrapped)))
        self.summary()
        self.add_callback(SummaryCallback(self.summary))
        self.add_callback(FreezingCallback(self._plain_model, self._train_parts))
        self.add_callback(SpeedCallback(self.accelerator.unwrap_model))

    # Training

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, from the start or from a checkpoint, and tune thresholds: see `CheckpointingTrainer.train`."""
        self._start_balancing()
        result = super().train(*args, **kwargs)
        if self.args.tune_thresholds != "none":
            self.tune_thresholds(how=self.args.tune_thresholds)
        return result

    def _start_balancing(self) -> None:
        """Begin a training: balancer and log know nothing yet."""
        labelled = {task for part in self._train_parts.values() for task in part.tasks}
        heads = {name: head for name, head in self._plain_model.task_heads.items() if name in labelled}
        self._balancing = TaskBalancing(
            self.balancer, heads, self.args, self.accelerator, self._prepare_inputs, self._sum_over_ranks
        )

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return values
        total: torch.Tensor = self.accelerator.reduce(values.to(self.args.device), reduction="sum")
        return total.to(values.device)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the task mixture; any batch of any epoch is computed, not walked to."""
        if not self._train_parts:
            raise UserError("Training needs a train_dataset, such as {'sst2': dataset}.")
        learn_from_labels(self._plain_model, self._train_parts)
        args = self.args
        parts = list(self._train_parts.values())
        batch_sampler = self._batch_sampler = MixtureBatchSampler(
            {name: len(part) for name, part in self._train_parts.items()},
            self.sampler,
            batch_size=self._train_batch_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            batching=args.batching,
            accumulation=args.gradient_accumulation_steps,
            skip_last=args.dataloader_drop_last,
            rank=args.process_index,
            world_size=args.world_size,
            rules=self.sampling_rules,
            epochs=args.num_train_epochs,
            max_steps=args.max_steps,
        )
        self.remove_callback(SamplingFeedback)  # of an earlier training
        self._feedback = self._feedback_of(batch_sampler)
        if self._feedback is not None:
            self.add_callback(self._feedback)
        if len(batch_sampler) == 0:
            raise UserError(
                f"{sum(map(len, parts))} training rows do not fill one batch of {self._train_batch_size} rows and "
                "dataloader_drop_last leaves it out. Lower per_device_train_batch_size."
            )
        return self._loader(
            DatasetMixture(parts, batch_sampler),
            batch_sampler,
            CountingCollator(self.data_collator),
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )

    def _feedback_of(self, batch_sampler: MixtureBatchSampler) -> SamplingFeedback | None:
        if not isinstance(batch_sampler.plan, AdaptivePlan):
            return None
        tasks = {name: part.tasks for name, part in self._train_parts.items()}
        main_metrics = {task: scorer.main for task, scorer in self._scorers(self._eval_parts).items()}
        is_homogeneous = self.args.batching == "homogeneous"
        return SamplingFeedback(batch_sampler.plan, tasks, main_metrics, is_homogeneous)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Collect the micro-batches of a step and count its items over all of them and all ranks."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:
            return batches, None
        datasets = [name for batch in batches for name in batch.pop("datasets")]
        counts = StepCounts.add_up(
            [batch.pop("counts") for batch in batches], self._plain_model.tasks, self._sum_over_ranks
        )
        record = StepRecord(counts, datasets, self._sum_over_ranks)
        self._balancing.begin_step(self.state.global_step, int(self.state.epoch or 0), batches, record)
        if self._feedback is not None:
            self._feedback.start_step(record)
        return batches, counts

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on a micro-batch: see ``transformers.Trainer.training_step``."""
        self._balancing.weigh(model)
        if not self._balancing.takes_gradients:
            loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
            return loss
        plain = self._plain_model
        plain.train()
        if callable(train := getattr(self.optimizer, "train", None)):  # schedule-free optimizers
            train()
        loss = self._balancing.add_gradients(inputs, plain, self._forward)
        return loss * self.accelerator.num_processes  # type: ignore[no-any-return]

    def _forward(self, inputs: dict[str, Any]) -> Any:
        with self.compute_loss_context_manager():
            return self._plain_model(**inputs)

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
        if isinstance(num_items_in_batch, StepCounts) and self._balancing.is_in_step:
            loss, outputs = self._balancing.loss(model, inputs, self._plain_model)
        else:
            outputs = model(**inputs)
            loss = outputs.loss
        # Data-parallel training takes the mean of the ranks' gradients; the loss is a sum over ranks.
        loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _build_accelerator_args(self, **kwargs: Any) -> dict[str, Any]:
        # A head without rows on a rank takes no part in that rank's step, so `DistributedDataParallel` has to look for
        # parameters without a gradient. Trainer has it look, but not under activation checkpointing, where the
        # reentrant kind, no longer its default, breaks it: then such a step would fail. The other way, to touch every
        # head with a term of weight zero, is no faster (benchmarks/results/unused_heads.md), and it gives heads
        # without rows on any rank a gradient of zeros: AdamW would let their weights decay, unlike in one process.
        # Where the first batch has rows for all heads, torch remarks once that it found none unused: it may be ignored.
        built: dict[str, Any] = super()._build_accelerator_args(**kwargs)
        if self.args.ddp_find_unused_parameters is None:
            for handler in built["kwargs_handlers"]:
                if isinstance(handler, DistributedDataParallelKwargs):
                    handler.find_unused_parameters = True
        return built

    # Checkpoints: what the balancer and an adaptive sampler have learnt goes with the optimizer's state.

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self._balancing.save(output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._balancing.load(checkpoint)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self._feedback is not None:
            self._feedback.save(self.state)
        super()._save_checkpoint(model, trial)

    def _load_callback_state(self) -> None:
        saved = take_saved(self.state)
        super()._load_callback_state()
        resume_feedback(self._feedback, saved)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer, with the rates of heads and encoder layers."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        args = self.args
        if fresh:
            plain = self.accelerator.unwrap_model(self.model if model is None else model)
            split_learning_rates(
                optimizer,
                plain.encoder,
                plain.heads,
                num_layers=getattr(plain.config.encoder_config, "num_hidden_layers", 0),
                layer_decay=args.encoder_layer_decay,
                head_learning_rates=args.learning_rates_of_heads(plain.tasks),
            )
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each task's loss, each dataset's rows and its share to a training log."""
        if "loss" in logs and "learning_rate" in logs:
            taken = self._balancing.log.take(
                list(self._plain_model.task_heads), list(self._train_parts), self._sum_over_ranks
            )
            logs.update({**taken, **self._balancing.cosines()})
            shares = self._batch_sampler.shares(max(self.state.global_step - 1, 0))
            logs.update({f"share/{name}": shares[name] for name in self._train_parts})
        super().log(logs, start_time)

    def summary(self) -> list[dict[str, Any]]:
        """Return what will be trained: for each dataset its rows, shares, and tasks with their labels.

        ``share`` is the one when training begins, ``last_share`` when it ends: ``None`` if training will decide it.
        """
        if not self._train_parts:
            return []
        shares = first_and_last_shares(
            self.sampler,
            {name: len(part) for name, part in self._train_parts.items()},
            self.args.step_shape,
            rules=self.sampling_rules,
            epochs=self.args.num_train_epochs,
            max_steps=self.args.max_steps,
        )
        return training_summary(self._train_parts, self._plain_model.tasks, shares)

    def hyperparameter_search(
        self,
        hp_space: Any = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "maximize",
        backend: Any = None,
        hp_name: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Search hyperparameters for the best ``eval_score``: see ``transformers.Trainer.hyperparameter_search``."""
        return super().hyperparameter_search(
            hp_space, compute_objective or _score_of, n_trials, direction, backend, hp_name, **kwargs
        )


def _score_of(metrics: dict[str, float]) -> float:
    return metrics["eval_score"]


def _no_collator(rows: Any) -> Any:
    """Stand in until the model is known; Trainer's own default would be wrong for rows."""
    raise RuntimeError("The collator is set once the model is known.")
