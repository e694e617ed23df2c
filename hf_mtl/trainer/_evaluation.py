"""What the trainer does by scores and answers: every (dataset, task) once, batch by batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers.trainer_utils import PredictionOutput, speed_metrics

from hf_mtl._names import listed, nearest
from hf_mtl.data import LabelledDataset, MultiTaskCollator, as_datasets, check_rows
from hf_mtl.model import MultiTaskModel
from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._averaging import Averages
from hf_mtl.trainer._batch_judge import BatchJudge
from hf_mtl.trainer._calibration import CalibratedTask, calibrate_tasks
from hf_mtl.trainer._callbacks import CallbackTrainer
from hf_mtl.trainer._constant_labels import ScoreRemarks
from hf_mtl.trainer._construction import refuse_ignored_keys
from hf_mtl.trainer._plain_model import PlainModels
from hf_mtl.trainer._row_reader import RowReader
from hf_mtl.trainer._scoring import Metric, ScoredRows, TaskScorer, join_scores
from hf_mtl.trainer._search import score_of, trial_space
from hf_mtl.trainer._thresholds import TunedThresholds, tune_tasks
from hf_mtl.trainer._types import check_types
from hf_mtl_light.errors import UserError

__all__ = ["EvaluatingTrainer"]


class EvaluatingTrainer(CallbackTrainer):
    """Transformers' trainer that scores a `MultiTaskModel`, answers by it, and tunes and searches by its scores."""

    args: MultiTaskTrainingArguments
    data_collator: MultiTaskCollator
    metrics: dict[str, Sequence[Metric]]
    _eval_datasets: dict[str, LabelledDataset]
    #: Whether rows are read once before they are used: those given to the trainer, and those given to a call.
    checks_data: bool = True
    #: Averages of the weights, which the model holds while it is scored or saved.
    _averages: Averages
    #: What evaluations outside of training found: by prefix, task and dataset.
    _scored_rows: dict[str, dict[str, dict[str, ScoredRows]]]
    #: What the last tuning of each task changed.
    tuned_thresholds: dict[str, TunedThresholds]
    #: What the last calibration of each task changed.
    calibrated_tasks: dict[str, CalibratedTask]

    @property
    def _plain_model(self) -> MultiTaskModel:
        """The model without what distributed training wraps around it."""
        model: MultiTaskModel = self._plain_models(self.model)
        return model

    @cached_property
    def _score_remarks(self) -> ScoreRemarks:
        return ScoreRemarks()

    @cached_property
    def _plain_models(self) -> PlainModels:
        return PlainModels(lambda model: self.accelerator.unwrap_model(model))

    def _columns(self, data: Mapping[str, Dataset], needs_labels: bool = True) -> dict[str, LabelledDataset]:
        model = self._plain_model
        heads = {name: type(head) for name, head in model.task_heads.items()}
        return {
            name: LabelledDataset(name, dataset, model.tasks, heads, needs_labels) for name, dataset in data.items()
        }

    def _checked_columns(self, data: Any, split: str, needs_labels: bool = True) -> dict[str, LabelledDataset]:
        """Return the datasets that a call was given; their rows are checked as those of the trainer were."""
        datasets = self._columns(as_datasets(data, split), needs_labels)
        for dataset in datasets.values() if self.checks_data else ():
            check_rows(dataset, progress=not self.args.disable_tqdm and self.args.process_index == 0)
        return datasets

    # Evaluation

    def _scorers(self, datasets: Mapping[str, LabelledDataset]) -> dict[str, TaskScorer]:
        """Return a scorer for each task that the datasets label, in the model's order."""
        model = self._plain_model
        labelled = {task for dataset in datasets.values() for task in dataset.tasks}
        return {
            name: TaskScorer(head.task, type(head), self.metrics.get(name))
            for name, head in model.task_heads.items()
            if name in labelled
        }

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the loader of one labelled dataset: a name among ``eval_dataset``, or a dataset."""
        return RowReader(self).loader(list(self._named_datasets(eval_dataset, "validation").values()))

    def get_test_dataloader(self, test_dataset: Any) -> DataLoader[Any]:
        """Return the loader of rows to predict, with or without labels."""
        datasets = self._checked_columns(test_dataset, "test", needs_labels=False)
        return RowReader(self).loader(list(datasets.values()), answers=True)

    def _named_datasets(self, data: Any, split: str) -> dict[str, LabelledDataset]:
        if data is None:
            return self._eval_datasets
        if isinstance(data, str):
            if data not in self._eval_datasets:
                raise UserError(
                    f"No evaluation dataset {data!r}.{nearest(data, self._eval_datasets)} "
                    f"Datasets: {listed(self._eval_datasets)}."
                )
            return {data: self._eval_datasets[data]}
        return self._checked_columns(data, split)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score every task on every dataset that labels it, in one pass over each dataset.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            ignore_keys: Refused: outputs are scored, not kept.
            metric_key_prefix: First part of the metrics' names.

        Returns:
            ``<prefix>_<task>_<metric>``, ``<prefix>_loss``, ``<prefix>_score`` and speeds. Where several datasets
            label a task, its metrics are over all their rows. Metrics of single entity types are left out while
            training: a tagging task can have a hundred.

        Raises:
            ValueError: If there is nothing to evaluate on, or a row does not fit the tasks: rows of other datasets are
                checked before the first pass, as those of the trainer were (``check_data``).
        """
        refuse_ignored_keys("ignore_keys", ignore_keys)
        self._memory_tracker.start()
        datasets = self._named_datasets(eval_dataset, "validation" if metric_key_prefix == "eval" else "test")
        if not datasets:
            raise UserError("Evaluation needs an eval_dataset, such as {'sst2': dataset}.")
        with self._averages.held_by(self._plain_model):
            metrics = self._pass(datasets, metric_key_prefix, details=not self.is_in_train)
            if metrics is None:
                raise UserError(f"Datasets {listed(datasets)}: all labels are null, so there is nothing to score.")
            self.log(metrics)
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._memory_tracker.stop_and_update_metrics(metrics)
        return metrics

    def _pass(
        self,
        datasets: Mapping[str, LabelledDataset],
        prefix: str,
        details: bool = True,
        answers: dict[str, list[dict[str, Any]]] | None = None,
    ) -> dict[str, float] | None:
        """Run the model once over all rows; nothing of a batch is kept but its answers, where they are asked for.

        Args:
            datasets: The datasets.
            prefix: First part of the metrics' names.
            details: Whether to name what a metric says of single entity types, too.
            answers: For each dataset a list that takes the rows' answers by task.

        Returns:
            The metrics; ``None`` if no row has a label.
        """
        start = time.time()
        scorers = self._filled_scorers(datasets, answers)
        scores = {name: scorer.compute(details) for name, scorer in scorers.items() if scorer.rows}
        for name, found in scores.items() if self.is_world_process_zero() else ():
            labelled_by = [dataset for dataset, rows in datasets.items() if name in rows.tasks]
            self._score_remarks.say(name, labelled_by, scorers[name].constants, found)
        if not self.is_in_train and self.is_world_process_zero():
            by_task = {name: scorers[name].by_dataset(found["score"]) for name, found in scores.items()}
            self._scored_rows[prefix] = by_task
        if not scores:
            return None
        labelled = sum(scorer.rows for scorer in scorers.values())
        weights = {name: scorers[name].task.weight * scorers[name].rows / labelled for name in scores}
        metrics = {f"{prefix}_{key}": value for key, value in join_scores(scores, weights).items()}
        rows = sum(len(dataset) for dataset in datasets.values())
        metrics.update(speed_metrics(prefix, start, num_samples=rows, num_steps=RowReader(self).rounds(datasets)))
        return metrics

    def _filled_scorers(
        self, datasets: Mapping[str, LabelledDataset], answers: dict[str, list[dict[str, Any]]] | None = None
    ) -> dict[str, TaskScorer]:
        """Return the tasks' scorers after a pass over all rows; ``answers`` as `_pass` takes them."""
        scorers = self._scorers(datasets)
        wanted = {name for name, scorer in scorers.items() if scorer.of_probabilities}
        reader = RowReader(self)
        judge = BatchJudge(
            reader.model, reader.collator, self.accelerator, self._prepare_inputs, wanted, not self.is_in_train
        )
        for batch in reader.batches(datasets, answers is not None):
            found = [] if batch is None else [judge.run(batch, answers is not None)]
            for scored, answered in reader.gather(found):
                for name, *score in scored:
                    scorers[name].add(*score)
                for dataset, answer in answered:
                    assert answers is not None
                    answers[dataset].append(answer)
        return scorers

    def row_sums(self, eval_dataset: Any) -> dict[str, np.ndarray]:
        """Return what each labelled row adds to the main score of each task, to compare two models row by row.

        Args:
            eval_dataset: The datasets.

        Returns:
            By task [R, k], of the tasks whose score is a function of sums over rows: see
            `hf_mtl.metrics.RowStatistic`.
        """
        with self._averages.held_by(self._plain_model):
            scorers = self._filled_scorers(self._named_datasets(eval_dataset, "test"))
        found = {name: scorer.row_sums() for name, scorer in scorers.items()}
        return {name: sums for name, sums in found.items() if sums is not None}

    def _sum_over_ranks(self, values: torch.Tensor) -> torch.Tensor:
        if self.accelerator.num_processes == 1:
            return values
        total: torch.Tensor = self.accelerator.reduce(values.to(self.args.device), reduction="sum")
        return total.to(values.device)

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Answer all tasks for every row, and score those that have labels, in one pass.

        Texts are answered as they are, not masked: tasks of masked tokens are scored by `evaluate` alone.

        Args:
            test_dataset: The datasets, in any form that `hf_mtl.data.as_datasets` takes.
            ignore_keys: Refused: answers are given, not outputs of the model.
            metric_key_prefix: First part of the metrics' names.

        Returns:
            ``predictions``: for each dataset a list with one dict of answers by task a row, in the order of the rows;
            ``metrics``: those of the tasks that are labelled, ``None`` if none is.

        Raises:
            ValueError: If a row has no input or a label that does not fit; rows are checked as `evaluate` does.
        """
        refuse_ignored_keys("ignore_keys", ignore_keys)
        self._memory_tracker.start()
        datasets = self._checked_columns(test_dataset, "test", needs_labels=False)
        if not datasets:
            raise UserError("Prediction needs a test_dataset, such as {'sst2': dataset}.")
        answers: dict[str, list[dict[str, Any]]] = {name: [] for name in datasets}
        with self._averages.held_by(self._plain_model):
            metrics = self._pass(datasets, metric_key_prefix, answers=answers)
            self.control = self.callback_handler.on_predict(self.args, self.state, self.control, metrics or {})
        self._memory_tracker.stop_and_update_metrics(metrics)
        return PredictionOutput(predictions=answers, label_ids=None, metrics=metrics)  # type: ignore[arg-type]

    def _forget_scores(self, tasks: Collection[str] | None = None) -> None:
        """Forget what evaluations found, of some tasks or of all: the model is no longer the one that was scored."""
        for by_task in self._scored_rows.values():
            for name in [name for name in by_task if tasks is None or name in tasks]:
                del by_task[name]

    # What scores on labelled rows decide.

    def tune_thresholds(self, eval_dataset: Any = None, *, how: str = "per-label") -> dict[str, TunedThresholds]:
        """Find the thresholds of multi-label tasks on labelled rows and put them into the model's config.

        From then on predictions, metrics and answers go by them, and they are saved with the model. Give rows that the
        model was not trained on; scores on these rows flatter afterwards, so report those of others.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            how: ``"per-label"``: for each label the threshold with the best F1 (0.5 for a label that no row has), or
                ``"global"``: one for all labels, with the best micro F1.

        Returns:
            For each multi-label task that the rows label its thresholds, and its metrics before and after.

        Raises:
            ValueError: If no row labels a multi-label task, or ``how`` is neither.
        """
        tuned = tune_tasks(self, self._named_datasets(eval_dataset, "validation"), how)
        self._forget_scores(tuned)
        self.tuned_thresholds.update(tuned)
        return tuned

    def calibrate(
        self,
        eval_dataset: Any = None,
        *,
        tasks: Sequence[str] | None = None,
        coverage: float | Sequence[float] | None = None,
    ) -> dict[str, CalibratedTask]:
        """Fit the temperature of each task with probabilities on labelled rows and put it into the model's config.

        Scores of answers then mean what they say, as far as one number can do it; which label is answered does not
        change: see `hf_mtl.metrics.best_temperature`. Give rows that the model was not trained on.

        Args:
            eval_dataset: Datasets in place of those of the trainer, or the name of one of them.
            tasks: Names of the tasks; ``None``: all that have probabilities and labelled rows.
            coverage: Finds also from which probability on a label belongs to a row's set, so that the sets of such a
                part of rows hold the truth, for tasks with one label a row: what ``coverage=0.9`` of the pipeline
                needs. Several numbers keep several; those that a task has are found again.

        Returns:
            For each task its temperature, and how likely the labels were before and after.

        Raises:
            ValueError: If a task has no probabilities to calibrate, no row labels one that has, or the coverage is out
                of its range, or for no task.
        """
        check_types(tasks=tasks, coverage=coverage)
        coverages = [coverage] if isinstance(coverage, (int, float)) else coverage or []
        calibrated = calibrate_tasks(self, self._named_datasets(eval_dataset, "validation"), tasks, coverages)
        scorers = self._scorers(self._eval_datasets)
        self._forget_scores([name for name in calibrated if name not in scorers or scorers[name].of_probabilities])
        self.calibrated_tasks.update(calibrated)
        return calibrated

    def hyperparameter_search(
        self,
        hp_space: Callable[[Any], dict[str, Any]] | None = None,
        compute_objective: Callable[[dict[str, float]], float] | None = None,
        n_trials: int = 20,
        direction: str | list[str] = "maximize",
        backend: Any = None,
        hp_name: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Search hyperparameters for the best ``eval_score``: see ``transformers.Trainer.hyperparameter_search``.

        ``sampling``, ``balancing``, ``batching`` and the other arguments may be in the space. Afterwards the trainer's
        arguments are what they were before.

        Args:
            hp_space: From a trial to arguments and their values; ``None`` is Transformers' own space.
            compute_objective: From metrics to a number; ``None`` is ``eval_score``.
            n_trials: How many trainings.
            direction: Whether to ``"maximize"`` or ``"minimize"`` the number.
            backend: ``"optuna"``, or another that Transformers knows and that is installed.
            hp_name: Names trials.
            kwargs: Passed to the backend, such as ``storage``, ``study_name`` and ``load_if_exists``, by which a
                search that was killed continues, and ``pruner``.

        Raises:
            ValueError: If the space names no argument, or one that trials cannot change.
        """
        check_types(hp_space=hp_space, compute_objective=compute_objective)
        given = self.args
        self.args = copy.copy(given)  # trials write into it
        space: Any = trial_space(hp_space, given)
        try:
            return super().hyperparameter_search(
                space, compute_objective or score_of, n_trials, direction, backend, hp_name, **kwargs
            )
        finally:
            self.args = given

    # What Transformers' trainer evaluates with, and this one does not: its own loop scores and answers in one pass.

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Refuse: ``evaluate(datasets)`` scores and ``predict(datasets)`` answers.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "A MultiTaskTrainer has no evaluation_loop: evaluate(datasets) scores, predict(datasets) answers."
        )

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> Any:
        """Refuse: ``model(**batch)`` gives the logits of every task.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "A MultiTaskTrainer has no prediction_step: model(**batch).logits are the logits of every task, "
            "predict(datasets) answers."
        )
