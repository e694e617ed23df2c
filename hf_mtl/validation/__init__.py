"""How good a model is, and what made it so: cross-validation, one model against one each.

`make_folds` cuts training rows into folds that share no text; `cross_validate` trains a recipe once for each and keeps
each row's probabilities by the model that did not see it; `compare` trains a recipe and each of its tasks alone.
`errors` are the rows that a model gets wrong, `predicted_rows` all, with probabilities.
"""

from __future__ import annotations

from hf_mtl.metrics import conformal_sets, conformal_threshold
from hf_mtl.validation._alone import tasks_alone
from hf_mtl.validation._bootstrap import paired_interval, verdict_of
from hf_mtl.validation._compare import BUDGETS, Comparison, compare
from hf_mtl.validation._cross_validate import CrossValidation, cross_validate
from hf_mtl.validation._earlier import earlier_run
from hf_mtl.validation._errors import TaskErrors, errors, errors_by_task
from hf_mtl.validation._folds import Splitter, make_folds
from hf_mtl.validation._from_oof import calibrate_from_oof, label_errors, tune_thresholds_from_oof
from hf_mtl.validation._oof import read_oof
from hf_mtl.validation._predicted_rows import chosen_tasks, predicted_rows
from hf_mtl.validation._runs import Run, count_done, mark_of, run_all
from hf_mtl.validation._scores import is_greater_better, scores_of
from hf_mtl.validation._stratify import IterativeStratifiedKFold
from hf_mtl.validation._texts import normalised

__all__ = [
    "BUDGETS",
    "Comparison",
    "CrossValidation",
    "IterativeStratifiedKFold",
    "Run",
    "Splitter",
    "TaskErrors",
    "calibrate_from_oof",
    "chosen_tasks",
    "compare",
    "conformal_sets",
    "conformal_threshold",
    "count_done",
    "cross_validate",
    "earlier_run",
    "errors",
    "errors_by_task",
    "is_greater_better",
    "label_errors",
    "make_folds",
    "mark_of",
    "normalised",
    "paired_interval",
    "predicted_rows",
    "read_oof",
    "run_all",
    "scores_of",
    "tasks_alone",
    "tune_thresholds_from_oof",
    "verdict_of",
]
