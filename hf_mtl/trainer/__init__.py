"""Transformers' own trainer, wired to task mixtures, exact losses and per-task scores."""

from __future__ import annotations

from hf_mtl.trainer._summary import SummaryCallback, share_text
from hf_mtl.trainer._thresholds import TunedThresholds, check_tuning
from hf_mtl.trainer._trainer import MultiTaskTrainer

__all__ = ["MultiTaskTrainer", "SummaryCallback", "TunedThresholds", "check_tuning", "share_text"]
