"""Transformers' own trainer, wired to dataset mixtures, exact losses and scores of each task."""

from __future__ import annotations

from hf_mtl.trainer._arguments import MultiTaskTrainingArguments
from hf_mtl.trainer._freed_memory import keep_freed_memory
from hf_mtl.trainer._learning_rates import rate_factor, split_learning_rates
from hf_mtl.trainer._scoring import Metric, ScoredRows, TaskScorer, join_scores
from hf_mtl.trainer._step_loss import Reduce, StepCounts, StepLog, StepRecord, count_batch
from hf_mtl.trainer._summary import SummaryCallback, share_text
from hf_mtl.trainer._thresholds import TunedThresholds, check_tuning
from hf_mtl.trainer._trainer import MultiTaskTrainer

__all__ = [
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
    "check_tuning",
    "count_batch",
    "join_scores",
    "keep_freed_memory",
    "rate_factor",
    "share_text",
    "split_learning_rates",
]
