"""The trainer: Transformers' own, wired to task mixtures, exact losses and per-task scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import gather_object
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback
from transformers.trainer_utils import PredictionOutput, seed_worker, speed_metrics

from hf_mtl._names import listed, nearest
from hf_mtl.data import MultiTaskCollator, TaskBatchSampler, TaskColumns, TaskMixture, as_datasets
from hf_mtl.evaluation import Metric, TaskScorer, join_scores
from hf_mtl.inference import EncodedRows, RowsCollator, make_collator
from hf_mtl.modeling import MultiTaskModel
from hf_mtl.optimization import split_learning_rates
from hf_mtl.samplers import TaskSampler, make_sampler
from hf_mtl.step_loss import StepCounts, StepLog
from hf_mtl.training_args import MultiTaskTrainingArguments

__all__ = ["MultiTaskTrainer"]


class MultiTaskTrainer(Trainer):
    """Train and evaluate a `MultiTaskModel` on several datasets at once.

    Datasets are read as they are: columns named after tasks hold labels, ``text``, ``text_pair`` or ``tokens`` the
    input, other columns are passed over.

    Logs, besides Transformers' own: ``loss/<task>``, the task's mean loss an item, and ``rows/<dataset>``, the rows
    drawn since the last log. `evaluate` gives ``eval_<task>_<metric>``, ``eval_loss`` and ``eval_score``, the mean of
    the tasks' main metrics.

    Args:
        model: The model.
        args: The arguments; ``None`` takes the defaults.
        train_dataset: A mapping from names to `datasets.Dataset`, or any form that `hf_mtl.data.as_datasets` takes.
        eval_dataset: The same, for `evaluate`.
        processing_class: The model's fast tokenizer.
        metrics: For a task the metrics in place of its own.
        sampler: How often each dataset is drawn, in place of ``args.sampling``.
        data_collator: Turns rows into a batch, in place of `MultiTaskCollator`.
        model_init: Builds a model for each trial of `hyperparameter_search`.
        callbacks: Further callbacks.
        optimizers: An optimizer and a scheduler, or ``None`` for each.

    Raises:
        ValueError: If a dataset does not fit the tasks, or there is no tokenizer.
    """

    # The loss is divided by the items of the whole step in `compute_loss`, so Trainer must not divide it again.
    loss_is_scaled_for_ga = True
    args: MultiTaskTrainingArguments

    def __init__(
        self,
        model: MultiTaskModel | None = None,
        args: MultiTaskTrainingArguments | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        metrics: Mapping[str, Sequence[Metric]] | None = None,
        sampler: TaskSampler | None = None,
        data_collator: MultiTaskCollator | None = None,
        model_init: Callable[..., MultiTaskModel] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
    ) -> None:
        args = MultiTaskTrainingArguments() if args is None else args
        if not isinstance(args, MultiTaskTrainingArguments):
            raise TypeError(f"args must be MultiTaskTrainingArguments, found {type(args).__name__}.")
        if processing_class is None:
            raise ValueError(
                "No tokenizer. Pass processing_class=AutoTokenizer.from_pretrained(name), the encoder's own."
            )
        if args.n_gpu > 1:
            raise ValueError(
                "torch.nn.DataParallel cannot split a batch of several tasks. Start one process a GPU instead: "
                "torchrun --nproc_per_node N, or accelerate launch."
            )
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator or _no_collator,
            train_dataset=as_datasets(train_dataset, "train") or None,
            eval_dataset=as_datasets(eval_dataset, "validation") or None,
            processing_class=processing_class,
            model_init=model_init,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        if not isinstance(self._plain_model, MultiTaskModel):
            raise TypeError(f"model must be a MultiTaskModel, found {type(self._plain_model).__name__}.")
        if data_collator is None:
            self.data_collator = make_collator(self._plain_model, processing_class, args.max_length)
        self.sampler = sampler or make_sampler(args.sampling)
        self.metrics = dict(metrics or {})
        for name in self.metrics:
            self._plain_model.config.task(name)
        self._log_sums = StepLog()
        # Every dataset is checked here, not hours into the training.
        self._train_parts = self._columns(self.train_dataset or {})
        self._eval_parts = self._columns(self.eval_dataset or {})
        self._scorers(self._eval_parts)

    @property
    def _plain_model(self) -> MultiTaskModel:
        """The model without what distributed training wraps around it."""
        model: MultiTaskModel = self.accelerator.unwrap_model(self.model)
        return model

    def _columns(self, data: Mapping[str, Dataset], needs_labels: bool = True) -> dict[str, TaskColumns]:
        model = self._plain_model
        heads = {name: type(head) for name, head in model.task_heads.items()}
        return {name: TaskColumns(name, part, model.tasks, heads, needs_labels) for name, part in data.items()}

    # Training

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, from the start or from a checkpoint: see ``transformers.Trainer.train``."""
        self._log_sums = StepLog()
        return super().train(*args, **kwargs)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the task mixture; any batch of any epoch is computed, not walked to."""
        if not self._train_parts:
            raise ValueError("Training needs a train_dataset, such as {'sst2': dataset}.")
        self._learn_from_labels()
        args = self.args
        parts = list(self._train_parts.values())
        batch_sampler = TaskBatchSampler(
            [len(part) for part in parts],
            self.sampler,
            batch_size=self._train_batch_size,
            seed=args.data_seed if args.data_seed is not None else args.seed,
            batching=args.batching,
            skip_last=args.dataloader_drop_last,
            rank=args.process_index,
            world_size=args.world_size,
        )
        if len(batch_sampler) == 0:
            raise ValueError(
                f"{sum(map(len, parts))} training rows do not fill one batch of {self._train_batch_size} rows and "
                "dataloader_drop_last leaves it out. Lower per_device_train_batch_size."
            )
        return self._loader(
            TaskMixture(parts, batch_sampler),
            batch_sampler,
            _WithDatasets(self.data_collator),
            worker_init_fn=partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        )

    def _loader(self, dataset: Any, batch_sampler: Any, collate: Any, **kwargs: Any) -> DataLoader[Any]:
        args = self.args
        loader = DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=collate,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory and args.device.type == "cuda",
            persistent_workers=args.dataloader_persistent_workers,
            multiprocessing_context=args.dataloader_multiprocessing_context,
            prefetch_factor=args.dataloader_prefetch_factor,
            in_order=args.dataloader_in_order,
            **kwargs,
        )
        # The batches are this rank's own already: accelerate is told that there is one process, or it would share
        # them out once more.
        prepared: DataLoader[Any] = prepare_data_loader(
            loader, device=args.device, num_processes=1, process_index=0, put_on_device=True
        )
        return prepared

    def _learn_from_labels(self) -> None:
        """Let heads see the training labels that they scale by."""
        model = self._plain_model
        for name, head in model.task_heads.items():
            if head.learns_from_labels:
                labels = [
                    label for part in self._train_parts.values() if name in part.tasks for label in part.labels(name)
                ]
                model.replace_task(head.learn(head.task, labels))

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Collect the micro-batches of a step and count its items over all of them and all ranks."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        for batch in batches:
            self._log_sums.add_rows(batch.pop("datasets"))
        if not batches:
            return batches, None
        counts = StepCounts.count(batches, self._plain_model.task_heads, self._sum_over_ranks)
        self._log_sums.start_step(counts)
        return batches, counts

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> None:
        # Called by Trainer's own `get_batch_samples`, whose count takes labels for one tensor.
        return None

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return values
        total: torch.Tensor = self.accelerator.reduce(values.to(self.args.device), reduction="sum")
        return total.cpu()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Return the micro-batch's part of the step's loss.

        Args:
            model: The model, as distributed training wrapped it.
            inputs: The batch.
            return_outputs: Whether to return the outputs, too.
            num_items_in_batch: The step's `StepCounts`; ``None``: the batch is the whole step.
        """
        if isinstance(num_items_in_batch, StepCounts):
            inputs = {
                **inputs,
                "num_items": num_items_in_batch.num_items,
                "loss_weights": num_items_in_batch.loss_weights,
            }
        outputs = model(**inputs)
        self._log_sums.add_losses(outputs.losses)
        # Data-parallel training takes the mean of the ranks' gradients; the loss is a sum over ranks.
        loss = outputs.loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer, with the rates of heads and encoder layers."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)
        args = self.args
        if fresh and (args.head_learning_rate is not None or args.encoder_layer_decay != 1):
            plain = self.accelerator.unwrap_model(self.model if model is None else model)
            split_learning_rates(
                optimizer,
                plain.encoder,
                plain.heads,
                num_layers=plain.config.encoder_config.num_hidden_layers,
                layer_decay=args.encoder_layer_decay,
                head_learning_rate=args.head_learning_rate,
            )
        return optimizer

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each task's loss and each dataset's rows to a training log."""
        if "loss" in logs and "learning_rate" in logs:
            taken = self._log_sums.take(
                list(self._plain_model.task_heads), list(self._train_parts), self._sum_over_ranks
            )
            logs.update(taken)
        super().log(logs, start_time)

    def summary(self) -> list[dict[str, Any]]:
        """Return what will be trained: for each dataset its rows, share of an epoch, and tasks with their labels."""
        sizes = [len(part) for part in self._train_parts.values()]
        shares = self.sampler.shares(sizes) if sizes else []
        tasks = {task.name: task for task in self._plain_model.tasks}
        return [
            {
                "dataset": name,
                "rows": len(part),
                "share": share,
                "tasks": [
                    {"name": task, "type": tasks[task].type, "labels": tasks[task].labels} for task in part.tasks
                ],
            }
            for (name, part), share in zip(self._train_parts.items(), shares, strict=True)
        ]

    # Evaluation

    def _scorers(self, parts: Mapping[str, TaskColumns]) -> dict[str, TaskScorer]:
        """Return a scorer for each task that the datasets label, in the model's order."""
        model = self._plain_model
        labelled = {task for part in parts.values() for task in part.tasks}
        return {
            name: TaskScorer(head.task, type(head), self.metrics.get(name))
            for name, head in model.task_heads.items()
            if name in labelled
        }

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the loader of one labelled dataset: a name among ``eval_dataset``, or a dataset."""
        if isinstance(eval_dataset, str):
            if eval_dataset not in self._eval_parts:
                raise ValueError(
                    f"No evaluation dataset {eval_dataset!r}.{nearest(eval_dataset, self._eval_parts)} "
                    f"Datasets: {listed(self._eval_parts)}."
                )
            return self._rows_loader([self._eval_parts[eval_dataset]])
        return self._rows_loader(list(self._parts(eval_dataset, "validation").values()))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Return the loader of rows to predict, with or without labels."""
        return self._rows_loader(list(self._columns(as_datasets(test_dataset, "test"), needs_labels=False).values()))

    def _rows_loader(self, parts: Sequence[TaskColumns]) -> DataLoader[Any]:
        mixture = TaskMixture(parts)
        size, args = self.args.per_device_eval_batch_size, self.args
        starts = range(args.process_index * size, len(mixture), size * args.world_size)
        batches = [list(range(start, min(start + size, len(mixture)))) for start in starts]
        return self._loader(mixture, batches, RowsCollator(self.data_collator))

    def _parts(self, data: Any, split: str) -> dict[str, TaskColumns]:
        if data is None:
            return self._eval_parts
        if isinstance(data, str):
            return {data: self._eval_parts[data]}
        return self._columns(as_datasets(data, split))

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score every task on every dataset that labels it, in one pass over each dataset.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            ignore_keys: Not used: the outputs are scored, not kept.
            metric_key_prefix: First part of the metrics' names.

        Returns:
            ``<prefix>_<task>_<metric>``, ``<prefix>_loss``, ``<prefix>_score`` and speeds. Where several datasets
            label a task, its metrics are over all their rows. Metrics of single entity types are left out while
            training: a tagging task can have a hundred.

        Raises:
            ValueError: If there is nothing to evaluate on.
        """
        parts = self._parts(eval_dataset, "validation" if metric_key_prefix == "eval" else "test")
        if not parts:
            raise ValueError("Evaluation needs an eval_dataset, such as {'sst2': dataset}.")
        metrics = self._score(parts, metric_key_prefix, details=not self.is_in_train)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._memory_tracker.stop_and_update_metrics(metrics)
        return metrics

    def _score(self, parts: Mapping[str, TaskColumns], prefix: str, details: bool = True) -> dict[str, float]:
        self._memory_tracker.start()
        start = time.time()
        scorers = self._scorers(parts)
        for batch, logits, losses in self._run(parts):
            found = [
                (
                    name,
                    losses[name],
                    self._predictions(name, batch, logits),
                    [batch.rows[i].labels[name] for i in numbers],
                )
                for name, numbers in ((name, value.tolist()) for name, value in batch.numbers.items())
            ]
            for name, (loss_sum, items), predictions, labels in self._gather(found):
                scorers[name].add(predictions, labels, loss_sum, items)
        scores = {name: scorer.compute(details) for name, scorer in scorers.items() if scorer.rows}
        if not scores:
            raise ValueError(f"Datasets {listed(parts)}: all labels are null, so there is nothing to score.")
        labelled = sum(scorer.rows for scorer in scorers.values())
        weights = {name: scorers[name].task.weight * scorers[name].rows / labelled for name in scores}
        metrics = {f"{prefix}_{key}": value for key, value in join_scores(scores, weights).items()}
        rows = sum(len(part) for part in parts.values())
        steps = math.ceil(rows / (self.args.per_device_eval_batch_size * self.args.world_size))
        metrics.update(speed_metrics(prefix, start, num_samples=rows, num_steps=steps))
        return metrics

    def _predictions(self, name: str, batch: EncodedRows, logits: Mapping[str, torch.Tensor]) -> list[Any]:
        words = [batch.words[i] for i in batch.numbers[name].tolist()]
        return self._plain_model.task_heads[name].predictions(logits[name], words)

    def _gather(self, found: list[Any]) -> list[Any]:
        """Return the scored batches of all ranks: decoded predictions, not logits."""
        gathered: list[Any] = gather_object(found) if self.args.world_size > 1 else found
        return gathered

    def _run(
        self, parts: Mapping[str, TaskColumns], labelled: bool = True
    ) -> Iterator[tuple[EncodedRows, dict[str, torch.Tensor], dict[str, tuple[float, int]]]]:
        """Yield each batch with its logits and, for labelled tasks, the summed loss and the items."""
        loader = self._rows_loader(list(parts.values()))
        self.callback_handler.eval_dataloader = loader
        model = self._plain_model
        if not self.is_in_train and (self.args.bf16_full_eval or self.args.fp16_full_eval):
            model.to(dtype=torch.bfloat16 if self.args.bf16_full_eval else torch.float16)
        was_training = model.training
        model.eval()
        for batch in loader:
            inputs = self._prepare_inputs(
                {**batch.inputs, "rows": batch.numbers, "labels": batch.labels} if labelled else dict(batch.inputs)
            )
            with torch.no_grad(), self.accelerator.autocast():
                output = model(**inputs)
            losses = {}
            for name, loss in (output.losses or {}).items():
                items = int(model.task_heads[name].count_items(batch.labels[name]))
                losses[name] = (float(loss) * items, items)
            yield batch, output.logits, losses
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        model.train(was_training)

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Answer all tasks for every row, and score those that have labels.

        Args:
            test_dataset: The datasets, in any form that `hf_mtl.data.as_datasets` takes.
            ignore_keys: Not used.
            metric_key_prefix: First part of the metrics' names.

        Returns:
            ``predictions``: for each dataset a list with one dict of answers by task a row, in the order of the rows;
            ``metrics``: those of the tasks that are labelled, ``None`` if none is.
        """
        parts = self._columns(as_datasets(test_dataset, "test"), needs_labels=False)
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in parts}
        heads = self._plain_model.task_heads
        for name, part in parts.items():
            numbered: list[tuple[int, dict[str, Any]]] = []
            for batch, logits, _ in self._run({name: part}, labelled=False):
                columns = {task: heads[task].answers(logits[task], batch.words) for task in heads}
                numbered.extend(self._gather(list(_by_row(batch, columns))))
            answers[name] = [answer for _, answer in sorted(numbered, key=lambda pair: pair[0])]
        scored = {name: part for name, part in parts.items() if any(part.labels(task) for task in part.tasks)}
        metrics = self._score(scored, metric_key_prefix) if scored else None
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics or {})
        return PredictionOutput(predictions=answers, label_ids=None, metrics=metrics)  # type: ignore[arg-type]

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


def _by_row(batch: EncodedRows, columns: Mapping[str, Sequence[Any]]) -> Iterable[tuple[int, dict[str, Any]]]:
    for i, row in enumerate(batch.rows):
        yield row.index, {task: answers[i] for task, answers in columns.items()}


def _score_of(metrics: dict[str, float]) -> float:
    return metrics["eval_score"]


def _no_collator(rows: Any) -> Any:
    """Stand in until the model is known; Trainer's own default would be wrong for rows."""
    raise RuntimeError("The collator is set once the model is known.")


class _WithDatasets:
    """Adds to a batch the names of its rows' datasets, for the log."""

    def __init__(self, collator: Callable[[Sequence[Any]], dict[str, Any]]) -> None:
        self._collator = collator

    def __call__(self, rows: Sequence[Any]) -> dict[str, Any]:
        return {**self._collator(rows), "datasets": [row.dataset for row in rows]}
