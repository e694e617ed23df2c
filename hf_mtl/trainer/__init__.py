"""Transformers' own trainer, wired to dataset mixtures, exact losses and scores of each task.

`MultiTaskTrainer` trains several datasets at once; columns named after tasks hold labels. ``encoder`` is a Hub id or a
folder, ``tokenizer`` its tokenizer:

>>> from datasets import Dataset
>>> from hf_mtl import MultiTaskModel, MultiTaskTrainer, MultiTaskTrainingArguments, TaskConfig
>>> reviews = Dataset.from_dict({"text": ["good film", "bad film"] * 4, "mood": ["positive", "negative"] * 4})
>>> requests = Dataset.from_dict({"text": ["play a song", "book a film"] * 4, "intent": ["play", "book"] * 4})
>>> data = {"reviews": reviews, "requests": requests}
>>> tasks = [
...     TaskConfig("mood", "sentiment", labels=["negative", "positive"]),
...     TaskConfig("intent", "sequence-classification", labels=["play", "book"]),
... ]
>>> trainer = MultiTaskTrainer(
...     MultiTaskModel.from_encoder(encoder, tasks),
...     MultiTaskTrainingArguments(folder, max_steps=2, use_cpu=True, disable_tqdm=True, save_strategy="no"),
...     train_dataset=data,
...     eval_dataset=data,
...     processing_class=tokenizer,
... )
>>> trainer.train().global_step
{...}
2
>>> sorted(key for key in trainer.evaluate() if key.endswith(("score", "accuracy")))
{...}
['eval_intent_accuracy', 'eval_mood_accuracy', 'eval_score']
"""

from __future__ import annotations

from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._calibration import (
    CalibratedTask,
    calibratable_tasks,
    calibrate_task,
    check_calibration,
    forget_calibration,
    with_temperature,
)
from hf_mtl.trainer._calibration_card import write_calibration
from hf_mtl.trainer._checkpoint_files import remove_checkpoints
from hf_mtl.trainer._data_checks import warn_of_texts
from hf_mtl.trainer._divergence import DivergenceError
from hf_mtl.trainer._freed_memory import keep_freed_memory
from hf_mtl.trainer._idle import idle_arguments
from hf_mtl.trainer._labelled_outputs import LabelledOutputs
from hf_mtl.trainer._learning_rates import rate_factor, split_learning_rates
from hf_mtl.trainer._reading_outputs import read_outputs
from hf_mtl.trainer._scoring import Metric, ScoredRows, TaskScorer, join_scores
from hf_mtl.trainer._step_loss import Reduce, StepCounts, StepLog, StepRecord, count_batch
from hf_mtl.trainer._strategies import describe_strategies
from hf_mtl.trainer._streams import rows_drawn
from hf_mtl.trainer._summary import SummaryCallback, share_text
from hf_mtl.trainer._thresholds import TunedThresholds, check_tuning, tune_task
from hf_mtl.trainer._trainer import MultiTaskTrainer

__all__ = [
    "CalibratedTask",
    "DivergenceError",
    "LabelledOutputs",
    "Metric",
    "MultiTaskTrainer",
    "MultiTaskTrainingArguments",
    "Reduce",
    "ScoredRows",
    "StepCounts",
    "StepLog",
    "StepRecord",
    "SummaryCallback",
    "TaskScorer",
    "TunedThresholds",
    "calibratable_tasks",
    "calibrate_task",
    "check_calibration",
    "check_tuning",
    "count_batch",
    "describe_strategies",
    "forget_calibration",
    "idle_arguments",
    "join_scores",
    "keep_freed_memory",
    "rate_factor",
    "read_outputs",
    "remove_checkpoints",
    "rows_drawn",
    "share_text",
    "split_learning_rates",
    "tune_task",
    "warn_of_texts",
    "with_temperature",
    "write_calibration",
]
