"""The trainer: Transformers' own, wired to task mixtures, exact losses and per-task scores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_utils import seed_worker

from hf_mtl.balancers import Balancer
from hf_mtl.data import DatasetMixture, LabelledDataset, MultiTaskCollator, as_datasets
from hf_mtl.inference import make_collator
from hf_mtl.model import MultiTaskModel, make_adapter_config, refuse_adapters
from hf_mtl.samplers import DatasetSampler
from hf_mtl.trainer._adapting import adapted
from hf_mtl.trainer._adaptive import SamplingFeedback, feedback_of, resume_feedback, take_saved
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._augmenting import make_augmenter
from hf_mtl.trainer._averaging import Averages, check_averaging
from hf_mtl.trainer._balancing import EndOfStep, TaskBalancing
from hf_mtl.trainer._construction import (
    check_given,
    check_kinds,
    check_model,
    metrics_by_task,
    no_collator,
    refuse_ignored_keys,
    refuse_stock_functions,
)
from hf_mtl.trainer._data_checks import check_training, mark_trained, rows_checked
from hf_mtl.trainer._data_parallel import allow_unused_heads
from hf_mtl.trainer._divergence import DivergenceCallback
from hf_mtl.trainer._drawing import make_batch_sampler, rows_of_tasks, summary_of
from hf_mtl.trainer._embedding_noise import EmbeddingNoise
from hf_mtl.trainer._freezing import FreezingCallback
from hf_mtl.trainer._label_statistics import learn_from_labels
from hf_mtl.trainer._learning_rates import set_learning_rates
from hf_mtl.trainer._loaders import make_loader
from hf_mtl.trainer._optimizer_names import matched_by_name, save_parameter_names
from hf_mtl.trainer._refused import refuse_unused
from hf_mtl.trainer._saving import SavingTrainer
from hf_mtl.trainer._scoring import Metric
from hf_mtl.trainer._search import set_chosen
from hf_mtl.trainer._speed import SpeedCallback
from hf_mtl.trainer._step_loss import CountingCollator, StepCounts, StepRecord
from hf_mtl.trainer._strategies import choose_strategies
from hf_mtl.trainer._streams import StreamPlaces, size_streams
from hf_mtl.trainer._summary import SummaryCallback
from hf_mtl.trainer._task_order import in_order, order_tasks
from hf_mtl.trainer._trained_on import check_same_training, training_facts, write_trained_on
from hf_mtl.trainer._types import check_types
from hf_mtl_light.errors import UserError, UserTypeError

__all__ = ["MultiTaskTrainer"]


class MultiTaskTrainer(SavingTrainer):
    """Train and evaluate a `MultiTaskModel` on several datasets at once.

    Datasets are read as they are: columns named after tasks hold labels, ``text``, ``text_pair`` or ``tokens`` the
    input, other columns are passed over. `hf_mtl.trainer` has an example.

    Logs, besides Transformers' own: ``loss/<task>``, the task's mean loss an item, ``weight/<task>``, the factor that
    it had, ``rows/<dataset>``, the rows drawn since the last log, and ``share/<dataset>``, the share in force.
    `evaluate` gives ``eval_<task>_<metric>``, ``eval_loss`` and ``eval_score``, the mean of the tasks' main metrics.

    Args:
        model: The model.
        args: The arguments; ``None`` takes the defaults.
        train_dataset: A mapping from names to `datasets.Dataset`, or any form that `hf_mtl.data.as_datasets` takes.
        eval_dataset: The same, for `evaluate`.
        processing_class: The model's fast tokenizer.
        image_processor: The image processor of the model's encoder of pictures.
        metrics: For a task the metrics in place of the type's: names, modules of ``evaluate``, or functions of
            predictions and references.
        sampler: How often each dataset is drawn, in place of ``args.sampling``; of ``args.sampling_options`` those that
            go with any strategy hold for it, too.
        balancer: How the tasks' losses become one, in place of ``args.balancing``.
        peft_config: Adapters to train in place of the encoder's own weights: a ``peft.LoraConfig``, or a mapping such
            as ``{"type": "LORA", "r": 16}``: see `hf_mtl.MultiTaskModel.add_adapter`.
        data_collator: Turns rows into a batch, in place of `MultiTaskCollator`.
        model_init: Builds a model for each trial of `hyperparameter_search`.
        callbacks: Further callbacks.
        optimizers: An optimizer and a scheduler, or ``None`` for each; they take precedence over the arguments'.
        optimizer_cls_and_kwargs: An optimizer's class and arguments, in place of ``args.optim``.
        compute_loss_func: Refused, as the next two: of Transformers' trainer, for models of one task. The message says
            what to do instead.
        compute_metrics: Refused: pass ``metrics``.
        preprocess_logits_for_metrics: Refused.
        check_data: Whether all rows are read once, here, and those given to a call then: inputs that are there, labels
            that fit, tasks with rows.

    Raises:
        ValueError: If a dataset or one of its rows does not fit the tasks, a sampling option not the datasets, a
            balancer not the batches, or there is no tokenizer.
    """

    balancer: Balancer
    _train_datasets: dict[str, LabelledDataset]
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
        optimizer_cls_and_kwargs: tuple[type[torch.optim.Optimizer], dict[str, Any]] | None = None,
        compute_loss_func: None = None,
        compute_metrics: None = None,
        preprocess_logits_for_metrics: None = None,
        check_data: bool = True,
        image_processor: Any = None,
        peft_config: Any = None,
    ) -> None:
        args = MultiTaskTrainingArguments() if args is None else args
        check_types(model=model, model_init=model_init, callbacks=callbacks, optimizers=optimizers)
        check_types(check_data=check_data, optimizer_cls_and_kwargs=optimizer_cls_and_kwargs)
        self.image_processor = image_processor
        tokenizer, processing_class = processing_class, check_kinds(args, processing_class, image_processor)
        refuse_stock_functions(
            compute_loss_func=compute_loss_func,
            compute_metrics=compute_metrics,
            preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        )
        check_given(args, data_collator, sampler, balancer, optimizers)
        self.metrics = metrics_by_task(metrics)
        train_datasets, eval_datasets = as_datasets(train_dataset, "train"), as_datasets(eval_dataset, "validation")
        self._scored_rows = {}
        self._card_fields = {}
        self.checks_data = check_data
        self.tuned_thresholds = {}
        self.calibrated_tasks = {}
        refuse_adapters(model)
        self._peft_config = make_adapter_config(peft_config)  # models are made before `__init__` below is done
        super().__init__(
            model=adapted(model, self._peft_config, args),
            args=args,
            data_collator=no_collator,
            train_dataset=train_datasets or None,
            eval_dataset=eval_datasets or None,
            processing_class=processing_class,
            model_init=model_init,
            callbacks=callbacks,
            optimizers=optimizers,
            optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
        )
        self.neftune_noise_alpha = None  # Transformers' hook scales by the batch's length: see EmbeddingNoise
        if not isinstance(self._plain_model, MultiTaskModel):
            raise UserTypeError(f"model must be a MultiTaskModel, found {type(self._plain_model).__name__}.")
        self.data_collator: MultiTaskCollator = data_collator or make_collator(
            self._plain_model, tokenizer, args.max_length, seed=args.seed_of_rows, image_processor=image_processor
        )
        # `compute_loss` divides by the items of the whole step; a trainer that expects the model to take loss
        # arguments does not divide by the accumulation steps once more.
        self.model_accepts_loss_kwargs = True
        self._passed = sampler, balancer
        check_model(args, self.optimizer, self._plain_model)
        check_averaging(args, self.is_fsdp_enabled or self.is_deepspeed_enabled)
        for name in self.metrics:
            self._plain_model.config.task(name)
        # Every dataset is checked here, not hours into the training.
        self._train_datasets = self._columns(train_datasets)
        size_streams(self._train_datasets, args)
        self._stream_places = StreamPlaces()
        self._eval_datasets = self._columns(eval_datasets)
        #: What the rows of each training dataset say of each task; empty where they were not checked.
        self.label_counts = rows_checked(self, self._train_datasets, self._eval_datasets) if check_data else {}
        self._scorers(self._eval_datasets)
        check_training(self, self._train_datasets, self._eval_datasets, scheduler=optimizers[1])
        self._choose_strategies()
        self._start_balancing()
        self.add_callback(EndOfStep(lambda: self._balancing.end_step(self.model_wrapped)))
        self.summary()
        self.add_callback(SummaryCallback(self.summary, self.strategies))
        self.add_callback(FreezingCallback(self._plain_model, self._train_datasets))
        self._averages, speed = Averages(self._plain_models), SpeedCallback(self.accelerator.unwrap_model)
        for callback in (self._averages, DivergenceCallback(), speed, EmbeddingNoise(self._plain_models)):
            self.add_callback(callback)

    # Training

    def call_model_init(self, trial: Any = None) -> Any:
        """Make a model for a trial: see ``transformers.Trainer.call_model_init``."""
        return adapted(super().call_model_init(trial), self._peft_config, self.args)

    def train(
        self, resume_from_checkpoint: Any = None, trial: Any = None, ignore_keys_for_eval: list[str] | None = None
    ) -> Any:
        """Train, from the start or from a checkpoint; then tune and calibrate: see `ResumingTrainer.train`."""
        refuse_ignored_keys("ignore_keys_for_eval", ignore_keys_for_eval)
        result = super().train(resume_from_checkpoint, trial)
        mark_trained(self._plain_model, self._train_datasets)
        if self.args.tune_thresholds != "none":
            self.tune_thresholds(how=self.args.tune_thresholds)
        if self.args.calibrate:
            self.calibrate()
        return result

    def _inner_training_loop(self, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        # Here, not in `train`: each trial's model exists, and each retry of auto_find_batch_size begins here.
        check_averaging(self.args, self.is_fsdp_enabled or self.is_deepspeed_enabled)
        self._start_balancing()
        return super()._inner_training_loop(batch_size, *args, **kwargs)

    def _match_training(self, checkpoint: Path) -> None:
        tasks, train, validation = check_same_training(checkpoint, self._training_facts())
        # Which order is the training's own: sums, random numbers and gradient norms follow it.
        order_tasks(self._plain_model, self.data_collator, tasks)
        self._train_datasets = self._columns(in_order(as_datasets(self.train_dataset, "train"), train))
        size_streams(self._train_datasets, self.args)
        self._eval_datasets = self._columns(in_order(as_datasets(self.eval_dataset, "validation"), validation))

    def _training_facts(self) -> dict[str, Any]:
        sampling = (self.sampler, self.sampling_rules)
        datasets = (self._train_datasets, self._eval_datasets)
        processors = (self.processing_class, self.image_processor)
        return training_facts(self._plain_model, self.args, sampling, self.balancer, processors, datasets)

    def _hp_search_setup(self, trial: Any) -> None:
        super()._hp_search_setup(trial)
        if self.hp_search_backend is not None and trial is not None:
            set_chosen(self.args, self.hp_space)
            self._choose_strategies()

    def _choose_strategies(self) -> None:
        """Take sampler and balancer: those passed in, or those of the arguments, which a search changes."""
        is_sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled or self.is_distributed_loading_by_transformers
        self.sampler, self.sampling_rules, self.balancer = choose_strategies(
            self.args, self._passed, self._train_datasets, is_sharded
        )

    def _start_balancing(self) -> None:
        """Begin a training: balancer and log are empty."""
        rows = rows_of_tasks(self._train_datasets, self.sampling_rules)
        heads = {name: head for name, head in self._plain_model.task_heads.items() if name in rows}
        self._balancing = TaskBalancing(
            self.balancer, heads, self.args, self.accelerator, self._prepare_inputs, self._sum_over_ranks, rows
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the task mixture; any batch of any epoch is computed, not walked to."""
        if not self._train_datasets:
            raise UserError("Training needs a train_dataset, such as {'sst2': dataset}.")
        refuse_unused(self.args)  # a sweep may have changed them
        learn_from_labels(self._plain_model, self._train_datasets)
        args, sampling = self.args, (self.sampler, self.sampling_rules)
        size_streams(self._train_datasets, args, self.sampling_rules)
        batch_sampler = make_batch_sampler(args, sampling, self._train_datasets, self._train_batch_size)
        self._batch_sampler = batch_sampler
        self.remove_callback(SamplingFeedback)  # of an earlier training
        mains = {task: scorer.main for task, scorer in self._scorers(self._eval_datasets).items()}
        self._feedback = feedback_of(batch_sampler.plan, self._train_datasets, mains, args.batching == "homogeneous")
        if self._feedback is not None:
            self.add_callback(self._feedback)
        augmenter = make_augmenter(args, self._train_datasets, self.processing_class, batch_sampler.epoch_steps)
        methods = self._balancing.methods
        methods.begin(self._plain_model, self._train_datasets, self.data_collator, batch_sampler.epoch_steps)
        given = {"stream_buffer": args.stream_buffer, "seed": args.seed_of_rows}
        mixture = DatasetMixture(list(self._train_datasets.values()), batch_sampler, augmenter, **given)
        self._stream_places.begin(mixture)
        return make_loader(
            args,
            mixture,
            batch_sampler,
            CountingCollator(self.data_collator, methods.taught_rows),
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Collect the micro-batches of a step and count its items over all of them and all ranks."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if not batches:
            return batches, None
        self._stream_places.take(batches)
        record = StepRecord.of_batches(batches, self._plain_model.tasks, self._sum_over_ranks)
        self._balancing.begin_step(self.state.global_step, int(self.state.epoch or 0), batches, record)
        if self._feedback is not None:
            self._feedback.start_step(record)
        return batches, record.counts

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
        built: dict[str, Any] = super()._build_accelerator_args(**kwargs)
        allow_unused_heads(built, self.args)
        return built

    # Checkpoints: what the balancer and an adaptive sampler have learnt goes with the optimizer's state.

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            self._balancing.save(output_dir)
            self._averages.save(Path(output_dir))
            self._stream_places.save(Path(output_dir))
            write_trained_on(Path(output_dir), self._training_facts())
            save_parameter_names(Path(output_dir), self.optimizer, self._plain_model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        with matched_by_name(Path(checkpoint), self.optimizer, self.lr_scheduler, self._plain_model):
            super()._load_optimizer_and_scheduler(checkpoint)
        self._balancing.load(checkpoint)
        self._averages.load(Path(checkpoint), self._plain_model)
        self._stream_places.load(Path(checkpoint))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self._feedback is not None:
            self._feedback.save(self.state)
        with self._averages.held_by(self._plain_model):
            super()._save_checkpoint(model, trial)

    def _load_callback_state(self) -> None:
        saved = take_saved(self.state)
        super()._load_callback_state()
        resume_feedback(self._feedback, saved)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer, with the rates of heads and encoder layers."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if fresh:
            plain = self._plain_models(self.model if model is None else model)
            set_learning_rates(optimizer, plain, self.args)
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each task's loss, each dataset's rows and its share to a training log."""
        if "loss" in logs and "learning_rate" in logs:
            taken = self._balancing.log.take(
                list(self._plain_model.task_heads), list(self._train_datasets), self._sum_over_ranks
            )
            logs.update({**taken, **self._balancing.methods.take(self._sum_over_ranks)})
            logs.update(self._balancing.compared_gradients())
            shares = self._batch_sampler.shares(max(self.state.global_step - 1, 0))
            logs.update({f"share/{name}": shares[name] for name in self._train_datasets})
        super().log(logs, start_time)

    def summary(self) -> list[dict[str, Any]]:
        """Return what will be trained: for each dataset its rows, shares, and tasks with their labels.

        ``share`` is the one when training begins, ``last_share`` when it ends: ``None`` if training will decide it.
        """
        sampling = (self.sampler, self.sampling_rules)
        return summary_of(self.args, sampling, self._train_datasets, self._plain_model.tasks, self.label_counts)
